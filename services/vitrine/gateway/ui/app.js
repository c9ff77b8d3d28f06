// The page's flow: an address is a search (see state.js), a search is asked (api.js) and shown (view.js, refine.js).

import { Problem, item, search, setKey, uiConfig } from "./api.js";
import { find } from "./dom.js";
import * as pictures from "./pictures.js";
import * as refine from "./refine.js";
import { addressOf, filterTree, searchOf } from "./state.js";
import * as view from "./view.js";

const PAGE = 24;
const DISPLAY = 5;
const MOST_FACETS = 6;

const field = find("q");

// Products that the search names, by id: { title, image_url }.
const products = new Map();
let config = { collection: "products", examples: [], fields: [], max_image_bytes: Infinity, max_limit: PAGE };
let running = null;
let dressed = false;
let rendered = "";
let shown = { body: null, cursor: null, best: 0 };

const addressKey = () => `${location.search} ${history.state?.picture ?? ""}`;

function visit(address, state = null) {
  history.pushState(state, "", address);
  window.scrollTo({ top: 0 });
  return render();
}

// A search that is a change of the one before: its picture, if any, is the same.
function change(next) {
  if (!next.parts.length) return visit("/");
  const picture = next.parts.find(({ kind }) => kind === "picture");
  return visit(addressOf(next), picture ? { picture: picture.content } : null);
}

async function render() {
  running?.abort();
  rendered = addressKey();
  const wanted = searchOf(location.search, history.state);
  const lost = wanted?.parts.some(({ kind, content }) => kind === "picture" && !pictures.kept.has(content));
  const [first] = wanted?.parts ?? [];
  field.value = first?.kind === "words" ? first.content : "";
  if (wanted === null || lost) {
    refine.hide();
    view.showStart();
    if (lost) view.say("The picture was not kept. Pick it again.");
    dressWindow();
    return;
  }
  running = new AbortController();
  await run(wanted, running);
}

// Decoration: when it fails, the start page is complete without it.
async function dressWindow() {
  if (dressed || !config.examples.length) return;
  dressed = true;
  try {
    const answer = await search(config.collection, { query: config.examples[0], limit: DISPLAY });
    view.showDisplay(answer.hits);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

async function run(wanted, controller) {
  const { signal } = controller;
  present(wanted);
  nameItems(wanted, signal);
  const began = performance.now();
  try {
    const body = await bodyOf(wanted);
    const answer = await search(config.collection, { ...body, facets: facetsWanted() }, signal);
    const roundTrip = performance.now() - began;
    if (signal.aborted) return;
    shown = { body, cursor: answer.next_cursor, best: answer.hits[0]?.score ?? 0 };
    view.showAnswer(answer, { more: Boolean(answer.next_cursor), roundTrip, filtered: wanted.filters.size > 0 });
    refine.showFacets(answer.facets, JSON.stringify(wanted.parts));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) view.askForKey(useKey);
    else view.showProblem(error, render);
  }
}

// What is known of a search before its answer: heading, reference picture, parts.
function present(wanted) {
  const [first] = wanted.parts;
  const alone = wanted.parts.filter(({ weight }) => weight > 0).length === 1;
  const reference = first.kind === "picture" ? pictures.kept.get(first.content).url : alone && first.kind === "item" ? products.get(first.content)?.image_url : null;
  view.showLoading(headingOf(wanted.parts), reference ?? null);
  showParts(wanted);
}

function showParts(wanted) {
  const titles = new Map([...products].map(([id, { title }]) => [id, title]));
  refine.showParts(wanted, { fields: config.fields, titles, pictures: pictures.kept, change });
}

// Products get their own names as soon as they are known; the hits do not wait for them.
async function nameItems(wanted, signal) {
  const ids = wanted.parts.filter(({ kind, content }) => kind === "item" && !products.has(content)).map(({ content }) => content);
  if (!ids.length) return;
  // The search itself reports what is wrong with an id.
  const found = await Promise.allSettled(ids.map((id) => item(config.collection, id, signal)));
  for (const { value } of found) if (value) products.set(value.id, value);
  if (signal.aborted) return;
  const [first] = wanted.parts;
  const only = first.kind === "item" && wanted.parts.length === 1;
  if (only) view.setHeading(headingOf(wanted.parts), products.get(first.content)?.image_url);
  else view.setTitle(headingOf(wanted.parts));
  showParts(wanted);
}

async function bodyOf({ parts, filters, grouped }) {
  const query = await Promise.all(
    parts.map(async ({ kind, content, weight }) => {
      if (kind === "picture") return { image: await pictures.dataUrlOf(content), weight };
      return kind === "item" ? { id: content, weight } : { text: content, weight };
    }),
  );
  const body = { query, limit: Math.min(PAGE, config.max_limit) };
  const types = new Map(config.fields.map(({ name, type }) => [name, type]));
  const filter = filterTree(filters, types);
  if (filter) body.filter = filter;
  if (grouped) body.group_by = "group";
  return body;
}

const facetsWanted = () =>
  config.fields.filter(({ facetable }) => facetable).slice(0, Math.min(MOST_FACETS, config.max_facets ?? MOST_FACETS)).map(({ name }) => name);

async function showMore() {
  const button = find("more");
  const { body, cursor, best } = shown;
  const { signal } = running;
  button.disabled = true;
  try {
    const answer = await search(config.collection, { ...body, cursor }, signal);
    if (signal.aborted) return;
    shown.cursor = answer.next_cursor;
    view.appendHits(answer, { more: Boolean(answer.next_cursor), best });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    view.showNotice(`${error.title}. ${error.detail} (${error.code})`);
  } finally {
    button.disabled = false;
  }
}

function headingOf(parts) {
  const name = ({ kind, content }) => {
    if (kind === "words") return `“${content}”`;
    return kind === "item" ? products.get(content)?.title ?? content : "your picture";
  };
  const [first] = parts;
  if (parts.length === 1) {
    return { words: name(first), item: `More like ${name(first)}`, picture: "Like your picture" }[first.kind];
  }
  const joined = parts.map((part, index) => {
    if (part.weight < 0) return index ? ` without ${name(part)}` : `Without ${name(part)}`;
    return index ? ` + ${name(part)}` : name(part);
  });
  return joined.join("").replace(/^y/, "Y");
}

async function useKey(key) {
  setKey(key);
  await configure();
  await render();
}

function searchPicture(file) {
  const problem = pictures.problemWith(file, config.max_image_bytes);
  if (problem) {
    running?.abort();
    refine.hide();
    view.showLoading("Like your picture", null);
    view.showProblem(problem, render);
    return;
  }
  visit("?picture=", { picture: pictures.keep(file) });
}

function listen() {
  find("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (text) visit(`?${new URLSearchParams({ q: text })}`);
    else field.focus();
  });
  // Links to a query stay on the page, unless they are asked to open elsewhere.
  document.addEventListener("click", async (event) => {
    const less = event.target.closest("button.less");
    if (less) {
      change(refine.lessOf(searchOf(location.search, history.state), less.dataset.id));
      return;
    }
    const link = event.target.closest("a[href]");
    const modified = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!link || modified || !(link.id === "brand" || link.getAttribute("href").startsWith("?"))) return;
    event.preventDefault();
    await Promise.all([visit(link.getAttribute("href")), focusAfter(link)]);
  });
  find("more").addEventListener("click", showMore);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    field.select();
    field.focus();
  });
  // Going to an anchor, such as the skip link's, is a change of address too, but not of the query.
  window.addEventListener("popstate", () => {
    if (addressKey() !== rendered) render();
  });
  pictures.listen(searchPicture);
}

// The link that was followed is gone with the old results; the keyboard goes on at what replaced it.
function focusAfter(link) {
  (link.id === "brand" ? field : find("heading")).focus({ preventScroll: true });
}

async function configure() {
  try {
    config = { ...config, ...(await uiConfig()) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.status;
  }
  return 200;
}

async function start() {
  listen();
  refine.listen();
  const status = await configure();
  view.showExamples(config.examples);
  if (status === 401) view.askForKey(useKey);
  else await render();
}

await start();
