// Requests to the gateway that serves this page; errors keep its own messages.

const KEY = "rerank-gateway.key";

/** An error reply of the gateway, or the lack of any reply. */
export class Refusal extends Error {
  constructor(message, { status = 0, code = "", id = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.id = id;
  }

  get needsKey() {
    return this.status === 401;
  }
}

/** The key, stored until this tab is closed. */
export const key = {
  get: () => stored((storage) => storage.getItem(KEY)) ?? "",
  set: (value) => stored((storage) => storage.setItem(KEY, value)),
  forget: () => stored((storage) => storage.removeItem(KEY)),
};

function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null; // the browser blocks storage for this page
  }
}

/**
 * Returns the JSON of a path; a body is sent with POST.
 * @throws {Refusal} the gateway refuses or does not answer, or another server does
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
    const value = await reply.json().catch(nullIfNotJson);
    if (!statuses.includes(reply.status)) throw refusal(reply, value);
    if (value === null) throw new Refusal("The server at this address is not a rerank gateway.", reply);
    return value;
  } catch (error) {
    throw withMessage(error, seconds);
  }
}

function nullIfNotJson(error) {
  if (error instanceof SyntaxError) return null;
  throw error;
}

function refusal(reply, value) {
  const error = value?.error ?? {};
  return new Refusal(error.message ?? value?.message ?? `The server answers ${reply.status} ${reply.statusText}.`, {
    status: reply.status,
    code: error.code ?? "",
    id: reply.headers.get("x-request-id") ?? "",
  });
}

function withMessage(error, seconds) {
  if (error.name === "TimeoutError") {
    return new Refusal(`The gateway has not answered within ${seconds} s. It may hang, or be busy.`);
  }
  if (error instanceof TypeError) {
    return new Refusal("The gateway does not answer. It may have been stopped, or the network is down.");
  }
  return error; // a refusal, or an abort by the page itself
}
