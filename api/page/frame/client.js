// The API: asks with the token, knows what has not changed (ETag), and says in words what failed.

import { t } from "../words/words.js";

const BASE = "api/v1/cluster/"; // relative: the service may live under a proxy's path
const SECONDS_TO_ANSWER = 60;

/** The API answered with an error. `retryAfter` is in seconds, null where it did not say. */
export class Problem extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The API did not answer at all. */
export class Away extends Error {}

export class Client {
  #token;
  #known = new Map();

  /** `token` is null where a proxy has signed the person in. */
  constructor(token) {
    this.#token = token;
  }

  get hasToken() {
    return this.#token !== null;
  }

  /**
   * GET `path` with the arguments, empty ones left out: {body, headers}, the very object that was
   * given before where the answer is the same.
   *
   * Throws Problem, Away, and an AbortError when `signal` says so.
   */
  async ask(path, args, signal) {
    const address = addressOf(path, args);
    const known = this.#known.get(address);
    const headers = known ? { "If-None-Match": known.etag } : {};
    const response = await this.#fetch(address, { headers }, signal);
    if (response.status === 304 && known) return known.answer;
    const text = await read(response, signal);
    if (!response.ok) throw problemOf(response, text);
    const answer = { body: parsed(text), headers: response.headers };
    const etag = response.headers.get("ETag");
    if (etag) this.#known.set(address, { etag, answer });
    return answer;
  }

  /** PUT `fields` as a form; the object that the API answers. Throws Problem and Away. */
  put(path, fields) {
    return this.#write("PUT", path, fields);
  }

  /** POST, likewise. */
  post(path, fields) {
    return this.#write("POST", path, fields);
  }

  /** Keep no former answers but those to `questions`, [[path, args]]. */
  forgetAllBut(questions) {
    const wanted = new Set(questions.map(([path, args]) => addressOf(path, args)));
    for (const address of this.#known.keys()) {
      if (!wanted.has(address)) this.#known.delete(address);
    }
  }

  async #write(method, path, fields) {
    const signal = new AbortController().signal;
    const response = await this.#fetch(BASE + path, { method, body: new URLSearchParams(fields) }, signal);
    const text = await read(response, signal);
    if (!response.ok) throw problemOf(response, text);
    return parsed(text);
  }

  async #fetch(address, { headers = {}, ...request }, signal) {
    const limit = AbortSignal.timeout(SECONDS_TO_ANSWER * 1000);
    const shown = this.hasToken ? { Authorization: `Bearer ${this.#token}` } : {};
    let response;
    try {
      response = await fetch(address, {
        ...request,
        headers: { ...shown, Accept: "application/json", ...headers },
        signal: AbortSignal.any([signal, limit]),
        cache: "no-store",
        // With a token: else a refused token opens the browser's own window for a password.
        // Without: the cookie by which the proxy knows the person.
        credentials: this.hasToken ? "omit" : "same-origin",
        redirect: this.hasToken ? "error" : "manual",
      });
    } catch (error) {
      throw signal.aborted ? error : new Away(t("Clockwork does not answer."));
    }
    if (response.type === "opaqueredirect") throw new Problem(401, t("Your sign-in has ended.")); // to the proxy's own form
    return response;
  }
}

/** The address of `path` with its arguments, those that are empty left out. */
export function addressOf(path, args) {
  const query = new URLSearchParams(Object.entries(args).filter(([, value]) => value !== "" && value !== null));
  return `${BASE}${path}${query.size > 0 ? `?${query}` : ""}`;
}

/** The arguments of the page that follows, of a Link header with rel="next"; null where there is none. */
export function nextPage(link) {
  const match = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? "");
  return match ? new URL(match[1], "http://origin.invalid/").searchParams : null;
}

async function read(response, signal) {
  try {
    return await response.text();
  } catch (error) {
    throw signal.aborted ? error : new Away(t("The response broke off."));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text, exactly);
  } catch {
    throw new Away(t("What answered is not Clockwork, or its response broke off."));
  }
}

// A number that JavaScript would round stays as the text that it was.
function exactly(_key, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source === undefined || String(value) === source ? value : new Exact(source);
}

/** A number as it was written in JSON. */
export class Exact {
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }

  toJSON() {
    return JSON.rawJSON ? JSON.rawJSON(this.source) : this.source;
  }
}

function problemOf(response, text) {
  let detail = t("Clockwork answered with status {status}.", { status: response.status });
  try {
    const said = JSON.parse(text).detail;
    if (typeof said === "string") detail = said;
  } catch {
    // Not of the API's making: a proxy's page, say. The status has to do.
  }
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  return new Problem(response.status, detail, Number.isFinite(seconds) ? seconds : null);
}
