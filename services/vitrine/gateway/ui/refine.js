// What narrows or turns a search: its weighted parts, filters by facet and range, one product per design.

import { element, find, labelOf } from "./dom.js";
import { LEAST_WEIGHT, MOST_WEIGHT, WEIGHT_STEP, withFilter, withoutPart, withPart, withWeight } from "./state.js";

// What docs/composed-queries.md found to work: beside a picture or a product, which say a lot, words need more weight.
const WITH = { besideWords: 1, besidePicture: 1.5 };
const WITHOUT = { besideWords: -0.25, besidePicture: -1.25 };
const VALUES_SHOWN = 8;

// Facets as they were before their own field was filtered, so that a second value can be chosen.
const widest = new Map();
let context = { search: null, fields: [], change: () => {} };

// `change(search)` is called with the search that a person asks for; `titles` has a name per item, `pictures` an address per picture.
export function showParts(search, { fields, titles, pictures, change }) {
  context = { search, fields, change };
  const chips = search.parts.map((part, index) => partChip(part, index, titles, pictures));
  find("parts").replaceChildren(...chips);
  find("grouped").checked = search.grouped;
  find("refine").hidden = false;
}

export function hide() {
  for (const id of ["refine", "facets"]) find(id).hidden = true;
}

// `facets` of an answer, or null to keep what is shown (on later pages).
export function showFacets(facets, searchKey) {
  const { search, fields } = context;
  if (widest.key !== searchKey) {
    widest.clear();
    widest.key = searchKey;
  }
  const groups = fields.filter(({ facetable }) => facetable).map(({ name }) => facetGroup(name, facets?.[name]));
  const ranges = fields.filter(({ type, filterable }) => filterable && (type === "number" || type === "integer")).map(rangeGroup);
  const shown = [...groups, ...ranges].filter(Boolean);
  const clear = element("button", { class: "link", type: "button", id: "clear-filters" }, "Clear all filters");
  clear.addEventListener("click", () => context.change({ ...context.search, filters: new Map() }));
  find("facet-list").replaceChildren(...(search.filters.size ? [clear] : []), ...shown);
  find("filters-chosen").textContent = search.filters.size ? ` (${search.filters.size})` : "";
  find("facets").hidden = !shown.length;
}

export function listen() {
  // Beside the products where there is room; folded above them where there is not.
  const roomy = matchMedia("(min-width: 56rem)");
  const fold = () => {
    find("facets").open = roomy.matches;
  };
  roomy.addEventListener("change", fold);
  fold();
  find("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = find("add-words").value.trim();
    if (!text) {
      find("add-words").focus();
      return;
    }
    find("add-words").value = "";
    const without = event.submitter?.id === "add-without";
    const company = context.search.parts.some(({ kind }) => kind !== "words") ? "besidePicture" : "besideWords";
    const weight = (without ? WITHOUT : WITH)[company];
    context.change(withPart(context.search, { kind: "words", content: text, weight }));
  });
  find("grouped").addEventListener("change", () => context.change({ ...context.search, grouped: find("grouped").checked }));
}

export const lessOf = (search, id) => withPart(search, { kind: "item", content: id, weight: WITHOUT.besideWords });

function partChip({ kind, content, weight }, index, titles, pictures) {
  const name = kind === "words" ? `“${content}”` : kind === "item" ? titles.get(content) ?? content : "Your picture";
  const way = weight < 0 ? "away" : "toward";
  const step = (change) => {
    const next = Math.max(LEAST_WEIGHT, Math.min(MOST_WEIGHT, weight + change));
    // Nothing at all is no weight of a part: step over it.
    return next === 0 ? change : next;
  };
  const button = (label, text, onClick, enabled = true) => {
    const made = element("button", { type: "button", "aria-label": label, title: label, disabled: !enabled }, text);
    made.addEventListener("click", onClick);
    return made;
  };
  const change = (next) => context.change(next);
  const thumb = kind === "picture" && pictures.get(content);
  return element(
    "li",
    { class: `part ${way}`, "data-weight": weight },
    thumb ? element("img", { src: thumb.url, alt: "" }) : null,
    element("span", { class: "part-name" }, weight < 0 ? `Less: ${name}` : name),
    button(`Less of ${name}`, "−", () => change(withWeight(context.search, index, step(-WEIGHT_STEP))), weight > LEAST_WEIGHT),
    element("span", { class: "weight", "aria-label": `Weight ${weight}` }, String(weight)),
    button(`More of ${name}`, "+", () => change(withWeight(context.search, index, step(WEIGHT_STEP))), weight < MOST_WEIGHT),
    button(`Remove ${name}`, "×", () => change(withoutPart(context.search, index))),
  );
}

function facetGroup(field, facet) {
  const chosen = new Set(context.search.filters.get(field)?.values ?? []);
  if (facet && !chosen.size) widest.set(field, facet.values);
  const counted = new Map((facet?.values ?? []).map(({ value, count }) => [String(value), count]));
  const listed = (chosen.size && widest.get(field)) || facet?.values || [];
  const names = [...new Set([...chosen, ...listed.map(({ value }) => String(value))])];
  if (names.length < 2 && !chosen.size) return null;
  const rows = names.map((name) => facetRow(field, name, counted.get(name), chosen));
  const list = element("ul", {}, ...rows);
  for (const row of rows.slice(Math.max(VALUES_SHOWN, chosen.size))) row.hidden = true;
  const group = element("details", { class: "facet", "data-field": field, open: true }, element("summary", {}, labelOf(field)), list);
  if (rows.some((row) => row.hidden)) {
    const all = element("button", { class: "link", type: "button" }, `All ${rows.length}`);
    all.addEventListener("click", () => {
      for (const row of rows) row.hidden = false;
      all.remove();
    });
    group.append(all);
  }
  return group;
}

function facetRow(field, name, count, chosen) {
  const box = element("input", { type: "checkbox", value: name, checked: chosen.has(name) });
  box.addEventListener("change", () => {
    const values = new Set(chosen);
    if (box.checked) values.add(name);
    else values.delete(name);
    context.change(withFilter(context.search, field, { values: [...values] }));
  });
  const number = count === undefined ? null : element("span", { class: "facet-count" }, String(count));
  return element("li", {}, element("label", {}, box, element("span", {}, name), number));
}

function rangeGroup({ name }) {
  const filter = context.search.filters.get(name) ?? {};
  const field = (end, label) => {
    const input = element("input", { type: "number", step: "any", value: filter[end], "aria-label": `${labelOf(name)}, ${label}`, placeholder: label });
    input.addEventListener("change", () => {
      const number = input.value === "" ? undefined : Number(input.value);
      context.change(withFilter(context.search, name, { ...filter, [end]: number }));
    });
    return input;
  };
  const ends = element("div", { class: "range" }, field("min", "from"), field("max", "to"));
  return element("details", { class: "facet", "data-field": name, open: true }, element("summary", {}, labelOf(name)), ends);
}
