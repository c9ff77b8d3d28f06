// The page's state is its address: ?q= for words, ?id= for "more like this", ?picture for an uploaded picture.

import { Problem, item, search, uiConfig } from "./api.js";
import * as view from "./view.js";

const PAGE = 24;
const DISPLAY = 5;
const FORMATS = /^image\/(jpeg|png|webp|gif|bmp|tiff|x-ms-bmp)$/;

const find = (id) => document.getElementById(id);
const field = find("q");

// Pictures live as long as the tab: an address cannot carry them. Keyed by a number kept in the history entry.
const pictures = new Map();
let config = { collection: "products", examples: [], max_image_bytes: Infinity, max_limit: PAGE };
let running = null;
let dressed = false;
let rendered = "";
let shown = { query: null, hits: 0, best: 0 };

function queryOfAddress() {
  const params = new URLSearchParams(location.search);
  if (params.get("q")?.trim()) return { kind: "words", text: params.get("q") };
  if (params.get("id")) return { kind: "item", id: params.get("id") };
  if (params.has("picture")) {
    const kept = pictures.get(history.state?.picture);
    return kept ? { kind: "picture", ...kept } : { kind: "lost" };
  }
  return null;
}

const addressKey = () => `${location.search} ${history.state?.picture ?? ""}`;

function visit(address, state = null) {
  history.pushState(state, "", address);
  window.scrollTo({ top: 0 });
  return render();
}

async function render() {
  running?.abort();
  rendered = addressKey();
  const query = queryOfAddress();
  field.value = query?.kind === "words" ? query.text : "";
  if (query === null || query.kind === "lost") {
    view.showStart();
    if (query) view.say("The picture was not kept. Pick it again.");
    dressWindow();
    return;
  }
  running = new AbortController();
  await run(query, running);
}

// Decoration: when it fails, the start page is complete without it.
async function dressWindow() {
  if (dressed || !config.examples.length) return;
  dressed = true;
  try {
    const query = { kind: "words", text: config.examples[0] };
    view.showDisplay((await search(config.collection, query, { limit: DISPLAY, offset: 0 })).hits);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

async function run(query, controller) {
  const { signal } = controller;
  view.showLoading(headingOf(query), query.url ?? null);
  if (query.kind === "item") nameItem(query, signal);
  const began = performance.now();
  try {
    const answer = await search(config.collection, query, { limit: PAGE, offset: 0, signal });
    const roundTrip = performance.now() - began;
    if (signal.aborted) return;
    shown = { query, hits: answer.hits.length, best: answer.hits[0]?.score ?? 0 };
    view.showAnswer(answer, { more: answer.hits.length === PAGE, roundTrip });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    view.showProblem(error, render);
  }
}

// The heading gets the product's own name and picture as soon as they are known; the hits do not wait for them.
async function nameItem(query, signal) {
  try {
    const product = await item(config.collection, query.id, signal);
    if (!signal.aborted) view.setHeading(headingOf({ ...query, title: product.title }), product.image_url);
  } catch {
    // The search itself reports what is wrong.
  }
}

async function showMore() {
  const button = find("more");
  const { query, hits, best } = shown;
  const { signal } = running;
  button.disabled = true;
  try {
    const answer = await search(config.collection, query, { limit: PAGE, offset: hits, signal });
    if (signal.aborted) return;
    shown.hits += answer.hits.length;
    view.appendHits(answer, { more: answer.hits.length === PAGE, best });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    view.showNotice(`${error.title}. ${error.detail} (${error.code})`);
  } finally {
    button.disabled = false;
  }
}

function headingOf(query) {
  if (query.kind === "words") return `“${query.text.trim()}”`;
  if (query.kind === "item") return `More like ${query.title ?? query.id}`;
  return "Like your picture";
}

function searchPicture(file) {
  const problem = problemWith(file);
  if (problem) {
    running?.abort();
    view.showLoading("Like your picture", null);
    view.showProblem(problem, render);
    return;
  }
  const key = pictures.size;
  pictures.set(key, { file, url: URL.createObjectURL(file) });
  visit("?picture", { picture: key });
}

// Told here because the upload would be for nothing; the service checks again, by the bytes.
function problemWith(file) {
  if (file.type && !FORMATS.test(file.type)) {
    const detail = `${file.name} is ${file.type}, not a JPEG, PNG, WebP, GIF, BMP or TIFF picture.`;
    return new Problem({ status: 415, title: "The image format is not supported", detail, code: "image_format_unsupported" });
  }
  if (file.size > config.max_image_bytes) {
    const detail = `${file.name} has ${file.size} bytes; at most ${config.max_image_bytes} are accepted.`;
    return new Problem({ status: 413, title: "The image has too many bytes", detail, code: "image_too_large" });
  }
  return null;
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
    const link = event.target.closest("a[href]");
    const modified = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!link || modified || !(link.id === "brand" || link.getAttribute("href").startsWith("?"))) return;
    event.preventDefault();
    await Promise.all([visit(link.getAttribute("href")), focusAfter(link)]);
  });
  find("pick").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) searchPicture(file);
  });
  find("more").addEventListener("click", showMore);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    searchPicture(file);
  });
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
  listenToDrops();
}

// The link that was followed is gone with the old results; the keyboard goes on at what replaced it.
function focusAfter(link) {
  (link.id === "brand" ? field : find("heading")).focus({ preventScroll: true });
}

function listenToDrops() {
  const drop = find("drop");
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const over = (change) => (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    drop.hidden = depth === 0;
  };
  document.addEventListener("dragenter", over(+1));
  document.addEventListener("dragleave", over(-1));
  document.addEventListener("dragover", (event) => carriesFile(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = 0;
    drop.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) searchPicture(file);
  });
}

async function start() {
  listen();
  try {
    config = { ...config, ...(await uiConfig()) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  view.showExamples(config.examples);
  await render();
}

await start();
