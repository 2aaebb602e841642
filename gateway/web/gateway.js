// Asking the gateway that this page comes from, with its own words for what went wrong.

const KEY = "rerank-gateway.key";

/** What the gateway, or nobody, said in place of an answer. */
export class Refusal extends Error {
  constructor(message, { status = 0, code = "", id = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.id = id;
  }

  get wantsKey() {
    return this.status === 401;
  }
}

/** The key, which lives as long as this tab. */
export const key = {
  get: () => stored((storage) => storage.getItem(KEY)) ?? "",
  set: (value) => stored((storage) => storage.setItem(KEY, value)),
  forget: () => stored((storage) => storage.removeItem(KEY)),
};

function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

/**
 * Returns the JSON of a path; with a body it is posted.
 * @throws {Refusal} the gateway said no, does not answer, or something else does
 */
export async function ask(path, { body, signal, seconds, statuses = [200] } = {}) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  const signals = [signal, seconds && AbortSignal.timeout(seconds * 1000)].filter(Boolean);
  try {
    const reply = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.any(signals),
      cache: "no-store",
    });
    const said = await reply.json().catch(lostOrStrange);
    if (!statuses.includes(reply.status)) throw refusal(reply, said);
    if (said === null) throw new Refusal("Something answers here, but it is no rerank gateway.", reply);
    return said;
  } catch (error) {
    throw inWords(error, seconds);
  }
}

function lostOrStrange(error) {
  if (error instanceof SyntaxError) return null;
  throw error;
}

function refusal(reply, said) {
  const error = said?.error ?? {};
  return new Refusal(error.message ?? said?.message ?? `The server answers ${reply.status} ${reply.statusText}.`, {
    status: reply.status,
    code: error.code ?? "",
    id: reply.headers.get("x-request-id") ?? "",
  });
}

function inWords(error, seconds) {
  if (error.name === "TimeoutError") {
    return new Refusal(`The gateway has not answered within ${seconds} s. It may hang, or be busy.`);
  }
  if (error instanceof TypeError) {
    return new Refusal("The gateway does not answer. It may have been stopped, or the network is down.");
  }
  return error; // a refusal, or the abort that the page itself asked for
}
