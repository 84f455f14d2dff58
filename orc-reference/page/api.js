// Talks to the API: one request, or a collection that is kept as it changes.

let token = "";

/** Signs in by a bearer token; an empty one leaves it to the browser's client certificate. Held in memory only. */
export function sign(text) {
  token = text;
}

/** A failure, with the server's words. */
export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Sends a request and returns the answer if it is a success. */
export async function send(path, { method = "GET", body, signal } = {}) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text.trim() || answer.statusText;
  try {
    message = JSON.parse(text).message || message;
  } catch { /* not a Status: the text as it is */ }
  throw new Refusal(answer.status, message);
}

/** Who the server takes us for: `{username, groups}`. */
export async function whoAmI() {
  const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  return (await (await send(path, { method: "POST", body })).json()).status.userInfo;
}

/** The lines of a streamed answer. */
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

export const keyOf = (object) => object.metadata.uid || `${object.metadata.namespace}/${object.metadata.name}`;

/**
 * Keeps a collection: lists it, then watches from there, for ever. `told.reset(items)` and `told.change(type, object)` are
 * called in order; `told.failed(error)` when something went wrong that is tried again, `told.failed(null)` when it is over.
 */
export async function keep(path, told, signal) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      const list = await (await send(path, { signal })).json();
      // Items of a list do not say what they are.
      const kind = list.kind.replace(/List$/, "");
      told.reset(list.items.map((item) => ({ apiVersion: list.apiVersion, kind, ...item })));
      told.failed(null);
      wait = 500;
      await follow(path, list.metadata.resourceVersion, told, signal);
    } catch (error) {
      if (signal.aborted) return;
      const refused = error.code === 401 || error.code === 403;
      // A connection that breaks once is not worth a word: a browser breaks all when the machine's networks change, as
      // they do when a pod starts on it.
      if (refused || wait > 500) told.failed(error);
      if (refused) return;
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, 15000);
    }
  }
}

/** Watches from a version until the server no longer knows it; a watch that just ends is taken up where it was. */
async function follow(path, version, told, signal) {
  for (;;) {
    const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${version}`;
    const began = performance.now();
    const answer = await send(`${path}?${query}`, { signal });
    for await (const line of lines(answer)) {
      const { type, object } = JSON.parse(line);
      if (type === "ERROR") {
        if (object.code === 410) return;
        throw new Refusal(object.code, object.message);
      }
      version = object.metadata.resourceVersion;
      if (type !== "BOOKMARK") told.change(type, object);
    }
    if (performance.now() - began < 1000) throw new Error("the watch ended at once");
  }
}
