// A search as the page's address writes it. Everything but a picture's bytes is in there, so that links and history work.
//
//   ?q=red+dress                      the first part: words,
//   ?id=0108775015                    or a product,
//   ?picture                          or a picture; which one, the history entry knows
//   &wq=0.5 &wid=0.5 &picture=0.5     the first part's weight, when it is not 1
//   &part=-0.5~words~floral           a further part: weight, kind, content
//   &f.colour_group_name=Red          a value of a field that hits must have; several of one field: any of them
//   &min.price=10&max.price=50        a range of a field
//   &grouped                          one product per design

export const WEIGHT_STEP = 0.25;
export const LEAST_WEIGHT = -2;
export const MOST_WEIGHT = 3;

// `{ parts: [{ kind, content, weight }], filters: Map of field to { values } or { min, max }, grouped }`, or null at the start.
export function searchOf(address, state) {
  const params = new URLSearchParams(address);
  const parts = [];
  const add = (kind, content, weight) => parts.push({ kind, content, weight });
  if (params.get("q")?.trim()) add("words", params.get("q").trim(), weightOf(params.get("wq")));
  if (params.has("picture")) add("picture", state?.picture ?? null, weightOf(params.get("picture")));
  if (params.get("id")) add("item", params.get("id"), weightOf(params.get("wid")));
  for (const text of params.getAll("part")) {
    const [, weight, kind, content] = text.match(/^(-?[\d.]+)~(words|item|picture)~(.*)$/s) ?? [];
    if (kind === "picture") add(kind, state?.picture ?? null, weightOf(weight));
    else if (content) add(kind, content, weightOf(weight));
  }
  return parts.length ? { parts, filters: filtersOf(params), grouped: params.has("grouped") } : null;
}

export function addressOf({ parts, filters, grouped }) {
  const params = new URLSearchParams();
  const [{ kind, content, weight }, ...others] = parts;
  if (kind === "picture") params.set("picture", weight === 1 ? "" : weight);
  else {
    const name = kind === "words" ? "q" : "id";
    params.set(name, content);
    if (weight !== 1) params.set(`w${name}`, weight);
  }
  for (const part of others) params.append("part", `${part.weight}~${part.kind}~${part.kind === "picture" ? "" : part.content}`);
  for (const [field, { values, min, max }] of filters) {
    for (const value of values ?? []) params.append(`f.${field}`, value);
    if (min !== undefined) params.set(`min.${field}`, min);
    if (max !== undefined) params.set(`max.${field}`, max);
  }
  if (grouped) params.set("grouped", "");
  return `?${params}`;
}

// The same search with one thing changed. None of these alters its argument.
export const withPart = (search, part) => ({ ...search, parts: [...search.parts, part] });
export const withoutPart = (search, index) => ({ ...search, parts: search.parts.filter((_, at) => at !== index) });
export const withWeight = (search, index, weight) => ({
  ...search,
  parts: search.parts.map((part, at) => (at === index ? { ...part, weight } : part)),
});
export function withFilter(search, field, filter) {
  const filters = new Map(search.filters);
  const empty = !filter.values?.length && filter.min === undefined && filter.max === undefined;
  if (empty) filters.delete(field);
  else filters.set(field, filter);
  return { ...search, filters };
}

// The filter tree of the API; `types` has the type of each field. Null when nothing is filtered.
export function filterTree(filters, types) {
  const clauses = [];
  for (const [field, { values, min, max }] of filters) {
    if (values) clauses.push({ field, op: "in", value: values.map((value) => typed(value, types.get(field))) });
    if (min !== undefined) clauses.push({ field, op: "ge", value: min });
    if (max !== undefined) clauses.push({ field, op: "le", value: max });
  }
  return clauses.length ? { all: clauses } : null;
}

function filtersOf(params) {
  const filters = new Map();
  for (const [name, value] of params) {
    const [, kind, field] = name.match(/^(f|min|max)\.([A-Za-z]\w*)$/) ?? [];
    if (!field || value === "") continue;
    const filter = filters.get(field) ?? {};
    if (kind === "f") filter.values = [...(filter.values ?? []), value];
    else if (Number.isFinite(Number(value))) filter[kind] = Number(value);
    filters.set(field, filter);
  }
  return filters;
}

// A weight of an address that somebody wrote by hand: 1 when it is none.
function weightOf(text) {
  const weight = Number(text);
  if (!text || !Number.isFinite(weight) || weight === 0) return 1;
  return Math.max(LEAST_WEIGHT, Math.min(MOST_WEIGHT, weight));
}

function typed(value, type) {
  if (type === "flag") return value === "true";
  return type === "integer" || type === "number" ? Number(value) : value;
}
