// The gateway's API as the page uses it. Every failure arrives as a Problem with the code and the request id.

const UNREACHABLE = {
  status: 0,
  title: "The service cannot be reached",
  detail: "Nothing answered at this address. Check the connection, or whether the service is running.",
  code: "network_error",
};
const KEY = "vitrine.key";

export class Problem extends Error {
  constructor({ status, title, detail, code, request_id: requestId }) {
    super(detail);
    Object.assign(this, { status, title, detail, code, requestId });
  }

  // The same request may succeed later.
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

// The key lives as long as the tab. Services that ask for none never see one.
export const setKey = (key) => sessionStorage.setItem(KEY, key);

export const uiConfig = () => ask("/v1/ui-config");

export const item = (collection, id, signal) =>
  ask(`${base(collection)}/items/${encodeURIComponent(id)}`, { signal });

export const search = (collection, body, signal) =>
  ask(`${base(collection)}/search`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

const base = (collection) => `/v1/collections/${encodeURIComponent(collection)}`;

async function ask(address, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { ...options.headers, Authorization: `Bearer ${key}` } : options.headers;
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw new Problem({
    status: response.status,
    title: body?.title ?? "The answer cannot be read",
    detail: body?.detail ?? `The service answered with status ${response.status}.`,
    code: body?.code ?? `http_${response.status}`,
    request_id: body?.request_id ?? response.headers.get("X-Request-ID"),
  });
}
