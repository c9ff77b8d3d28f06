// What the page shows of an answer.

import { element, find } from "./dom.js";

const SKELETONS = 12;

// Catalogues name their columns differently; the first that a product has is shown.
const FACTS = {
  type: ["product_type_name", "product_type", "type", "category"],
  colour: ["colour_group_name", "colour", "color", "perceived_colour_master_name"],
  pattern: ["graphical_appearance_name", "pattern"],
};

// Cloth is not as loud as the colours that browsers know by these names.
const DYES = {
  black: "#1c1b1a",
  blue: "#2f63c0",
  brown: "#7a4f2c",
  green: "#3d8a4e",
  grey: "#8d8d8b",
  orange: "#e8832a",
  pink: "#ec9fb8",
  purple: "#7b4fa3",
  red: "#c8322b",
  turquoise: "#2fa8a0",
  white: "#ffffff",
  yellow: "#f2cb3d",
};

const STAGES = {
  decode: "Picture",
  tokenize: "Words",
  embed: "Embedding",
  search: "Search",
  hydrate: "Details",
  other: "Other",
};

const WARNINGS = {
  query_truncated: "The text is longer than the model can read: its end had no influence.",
  depth_reached: "There may be more, but not within the depth that one search reaches. Narrow it down.",
  previous_collection: "A new version of this shop is being rolled out. This server still shows the one before.",
};

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const price = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export function showStart() {
  document.body.dataset.view = "start";
  document.title = "Vitrine";
  for (const id of ["welcome", "start"]) find(id).hidden = false;
  find("results").hidden = true;
  find("provenance").textContent = "";
  say("");
}

export function showExamples(examples) {
  const chips = examples.map((text) =>
    element("li", {}, element("a", { class: "chip", href: `?${new URLSearchParams({ q: text })}` }, text)),
  );
  find("examples").replaceChildren(...chips);
}

// A shop window for the start: a few products behind arches.
export function showDisplay(hits) {
  const dressed = hits.filter((hit) => hit.image_url);
  const arches = dressed.map((hit) => {
    const image = element("img", { src: hit.image_url, alt: "", decoding: "async" });
    const link = element("a", { href: `?${new URLSearchParams({ id: hit.id })}`, "aria-label": `More like ${hit.title || hit.id}` }, image);
    return element("li", {}, link);
  });
  find("arches").replaceChildren(...arches);
  find("display").hidden = !arches.length;
}

// `heading` is what was asked for, `reference` the picture it was asked with (or null).
export function showLoading(heading, reference) {
  document.body.dataset.view = "results";
  for (const id of ["welcome", "start"]) find(id).hidden = true;
  find("results").hidden = false;
  find("results").setAttribute("aria-busy", "true");
  setHeading(heading, reference);
  find("count").textContent = "Searching…";
  for (const id of ["timing", "notice", "problem", "more"]) find(id).hidden = true;
  const skeleton = () => element("li", { class: "card skeleton", "aria-hidden": "true" }, element("div", { class: "picture" }));
  find("grid").replaceChildren(...Array.from({ length: SKELETONS }, skeleton));
  say("Searching");
}

export function setTitle(heading) {
  document.title = `${heading} – Vitrine`;
  find("heading").textContent = heading;
}

export function setHeading(heading, reference) {
  setTitle(heading);
  const picture = find("reference");
  picture.hidden = !reference;
  if (reference) picture.src = reference;
  else picture.removeAttribute("src");
}

export function showAnswer(answer, { more, roundTrip, filtered }) {
  find("results").removeAttribute("aria-busy");
  const { hits } = answer;
  const best = hits.length ? hits[0].score : 0;
  find("grid").replaceChildren(...hits.map((hit) => card(hit, best)));
  find("more").hidden = !more;
  find("count").textContent = hits.length ? countOf(hits.length, more) : "Nothing found.";
  showNotice((answer.warnings ?? []).map((code) => WARNINGS[code] ?? code).join(" "));
  showTiming(answer.took_ms ?? {}, roundTrip);
  showProvenance(answer);
  if (!hits.length) showNotice(filtered ? "No product passes these filters." : "No product matches. Try fewer or other words.");
  say(hits.length ? `${hits.length} products found` : "Nothing found");
}

export function appendHits(answer, { more, best }) {
  const before = find("grid").children.length;
  find("grid").append(...answer.hits.map((hit) => card(hit, best)));
  const shown = before + answer.hits.length;
  find("more").hidden = !more;
  find("count").textContent = countOf(shown, more);
  find("grid").children[before]?.querySelector("a")?.focus();
  say(`${answer.hits.length} more products, ${shown} in all`);
}

export function showProblem(problem, retry) {
  find("results").removeAttribute("aria-busy");
  find("grid").replaceChildren();
  find("count").textContent = "";
  for (const id of ["timing", "more", "notice"]) find(id).hidden = true;
  const facts = element("dl", {}, element("dt", {}, "Code"), element("dd", { id: "problem-code" }, problem.code));
  if (problem.requestId) {
    facts.append(element("dt", {}, "Request"), element("dd", { id: "problem-request" }, problem.requestId));
  }
  const again = problem.passing ? element("button", { class: "ghost", type: "button", id: "retry" }, "Try again") : null;
  again?.addEventListener("click", retry);
  find("problem").replaceChildren(element("h2", {}, problem.title), element("p", {}, problem.detail), facts, ...(again ? [again] : []));
  find("problem").hidden = false;
  say(`${problem.title}. ${problem.detail}`);
}

// The service wants to know who asks; `use(key)` is called with what a person enters.
export function askForKey(use) {
  document.body.dataset.view = "results";
  for (const id of ["welcome", "start", "refine", "facets", "timing", "more", "notice"]) find(id).hidden = true;
  find("results").hidden = false;
  find("results").removeAttribute("aria-busy");
  find("grid").replaceChildren();
  find("count").textContent = "";
  setHeading("This shop asks for a key", null);
  const key = element("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const form = element(
    "form",
    { class: "add", id: "key-form" },
    element("label", { for: "key" }, "API key with the scope “search”"),
    key,
    element("button", { class: "ghost", type: "submit" }, "Use it"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(key.value.trim());
  });
  find("problem").replaceChildren(form, element("p", {}, "It is kept until this tab is closed."));
  find("problem").hidden = false;
  key.focus();
}

export function showNotice(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

export function say(text) {
  find("status").textContent = text;
}

const countOf = (shown, more) => (more ? `The ${shown} best matches` : `${shown} ${shown === 1 ? "product" : "products"}`);

function card(hit, best) {
  const facts = factsOf(hit.metadata ?? {});
  const similar = `?${new URLSearchParams({ id: hit.id })}`;
  const words = [facts.type, facts.colour, facts.pattern].filter(Boolean);
  // The link below the picture says the same, so this one is for pointers alone.
  const window = element("a", { class: "picture", href: similar, tabindex: "-1", "aria-hidden": "true" });
  if (hit.image_url) {
    const image = element("img", { src: hit.image_url, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => window.classList.add("broken"));
    window.append(image);
  } else {
    window.classList.add("broken");
  }
  if (facts.price !== null) window.append(element("span", { class: "tag" }, facts.price));
  const line = element("p", { class: "facts" }, swatch(facts.colour), words.join(" · "));
  return element(
    "li",
    { class: "card", "data-id": hit.id },
    window,
    element("h2", {}, hit.title || hit.id),
    words.length ? line : null,
    element(
      "div",
      { class: "card-foot" },
      scoreOf(hit.score, best),
      siblingsOf(hit),
      element("a", { class: "similar", href: similar, "aria-label": `More like ${hit.title || hit.id}` }, "More like this"),
      element("button", { class: "less", type: "button", "data-id": hit.id, "aria-label": `Less like ${hit.title || hit.id}` }, "Less of this"),
    ),
  );
}

// With one product per design: how many more there are, and a way to see them.
function siblingsOf(hit) {
  if (!hit.siblings) return null;
  const href = `?${new URLSearchParams({ id: hit.id, "f.group": hit.group })}`;
  return element("a", { class: "siblings", href }, `+ ${hit.siblings} of this design`);
}

function factsOf(metadata) {
  const first = (names) => {
    const name = names.find((candidate) => metadata[candidate] !== undefined && metadata[candidate] !== "");
    return name ? String(metadata[name]) : null;
  };
  const amount = Number(metadata.price ?? Number.NaN);
  const currency = metadata.currency ? ` ${metadata.currency}` : "";
  return {
    type: first(FACTS.type),
    colour: first(FACTS.colour),
    pattern: first(FACTS.pattern),
    price: Number.isFinite(amount) && amount > 0 ? `${price.format(amount)}${currency}` : null,
  };
}

// A dot for colours whose name is known, here or to the browser: "Dark Red", "Light Blue", or the last word of "Dusty Pink".
function swatch(colour) {
  const words = (colour ?? "").toLowerCase().split(/\s+/);
  const names = [words.join(""), words.at(-1)];
  const known = names.map((name) => DYES[name]).find(Boolean) ?? names.find((name) => name && CSS.supports("color", name));
  if (!known) return null;
  const dot = element("span", { class: "swatch", "aria-hidden": "true" });
  dot.style.backgroundColor = known;
  return dot;
}

function scoreOf(score, best) {
  const share = best > 0 ? Math.max(0, Math.min(1, score / best)) : 0;
  const bar = element("span", { class: "meter", "aria-hidden": "true" }, element("span"));
  bar.firstChild.style.width = `${share * 100}%`;
  const shown = score.toFixed(2);
  return element("span", { class: "score", title: `Cosine similarity ${shown}` }, bar, element("span", { class: "hidden" }, "Similarity "), shown);
}

function showTiming(took, roundTrip) {
  const known = Object.keys(STAGES).filter((stage) => took[stage] > 0);
  const rest = (took.total ?? 0) - known.reduce((sum, stage) => sum + took[stage], 0);
  const parts = known.map((stage) => [stage, took[stage]]);
  if (rest > 0.05) parts.push(["other", rest]);
  const bar = parts.map(([stage, spent]) => {
    const segment = element("span", { class: `stage stage-${stage}` });
    segment.style.flexGrow = spent;
    return segment;
  });
  const legend = parts.map(([stage, spent]) =>
    element("li", {}, element("span", { class: `dot stage-${stage}`, "aria-hidden": "true" }), `${STAGES[stage]} `, element("b", {}, `${number.format(spent)} ms`)),
  );
  find("timing-bar").replaceChildren(...bar);
  find("timing-legend").replaceChildren(...legend);
  find("timing-caption").textContent = `${number.format(took.total ?? 0)} ms in the service · ${number.format(roundTrip)} ms round trip`;
  find("timing").hidden = !parts.length;
}

function showProvenance({ collection, model, request_id: requestId }) {
  const parts = [`Collection ${collection}`, `model ${model.name}`, `fingerprint ${model.fingerprint.slice(0, 12)}`, `request ${requestId}`];
  find("provenance").textContent = parts.join(" · ");
}
