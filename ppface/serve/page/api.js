// Requests to the service. The key is kept for this tab alone (sessionStorage), never in addresses.

const KEY = "ppface-key";
const TIMEOUT = 60_000; // milliseconds: a busy service answers 429 long before

export class ServiceError extends Error {
  // code: of the service's answer, or "offline" if there was none; wait: seconds until another try makes sense.
  constructor(code, message, wait = 0) {
    super(message);
    this.code = code;
    this.wait = wait;
  }
}

// A browser that permits no storage keeps the key until the page is loaded again.
let kept = "";
try {
  kept = sessionStorage.getItem(KEY) ?? "";
} catch {}

export const key = {
  get: () => kept,
  set(value) {
    kept = value;
    try {
      if (value) sessionStorage.setItem(KEY, value);
      else sessionStorage.removeItem(KEY);
    } catch {}
  },
};

async function call(method, path, body) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  if (body && !(body instanceof FormData)) headers["Content-Type"] = body.type || "application/octet-stream";
  let response;
  let answer = null;
  try {
    response = await fetch(path, { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    answer = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return null; // a proxy's page of HTML, say
      throw error;
    });
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) throw new ServiceError("offline", "");
    throw error;
  }
  if (response.ok && answer !== null) return answer;
  const { code, message } = answer?.error ?? {};
  throw new ServiceError(code ?? unnamed(response.status), message ?? `HTTP status ${response.status}`, waitOf(response));
}

// The code of an answer that is not the service's own: of a proxy before it, mostly.
function unnamed(status) {
  const codes = { 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large", 429: "rate_limited" };
  return codes[status] ?? (status >= 502 && status <= 504 ? "unavailable" : status >= 500 ? "internal" : "invalid");
}

function waitOf(response) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
}

function form(files) {
  const made = new FormData();
  for (const [field, file] of Object.entries(files)) made.append(field, file, field); // without the name that the file has here
  return made;
}

const person = (name) => `v1/people/${encodeURIComponent(name)}`;

export const service = {
  info: () => call("GET", "v1/info"),
  detect: (picture) => call("POST", "v1/detect", picture),
  search: (picture, threshold) => call("POST", `v1/search?k=3&threshold=${threshold}`, picture),
  verify: (image, other, threshold) => call("POST", `v1/verify?threshold=${threshold}`, form({ image, other })),
  people: () => call("GET", "v1/people"),
  enrol: (name, picture) => call("POST", `${person(name)}/images`, picture),
  forget: (name) => call("DELETE", person(name)),
  removeImage: (name, image) => call("DELETE", `${person(name)}/images/${image}`),
};
