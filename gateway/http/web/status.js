// The status, polled while it is shown: history, models with their shards, keys, problems.

import { element, find, setText, showProblem } from "./dom.js";
import { ask, key } from "./gateway.js";
import { buildHistory, forgetModel, historyQuery, showHistory } from "./history.js";
import { keepFocus, modelButtons } from "./model_buttons.js";

const POLL_MS = 2000;
const HISTORY_EVERY = 5; // polls
const TIMEOUT_SECONDS = 3;

const COLUMNS = [
  ["state", (shard) => element("span", { class: "pill", "data-state": shard.state }, stateOf(shard))],
  ["device", (shard) => shard.device],
  ["dtype", (shard) => shard.dtype],
  ["queue", (shard) => shard.queue, "number"],
  ["docs/s", (shard) => shard.documents_per_second.toFixed(1), "number"],
  ["p50 ms", (shard) => shard.p50_ms.toFixed(1), "number"],
  ["p95 ms", (shard) => shard.p95_ms.toFixed(1), "number"],
  ["memory", (shard) => bytes(shard.memory_bytes), "number"],
  ["restarts", (shard) => shard.restarts, "number"],
  ["pid", (shard) => shard.pid ?? "–", "number"],
];

const KEY_COLUMNS = [
  ["state", (key) => element("span", { class: "pill", "data-state": key.state === "good" ? "ready" : "failed" }, key.state)],
  ["for", (key) => (key.admin ? "operator" : "client")],
  ["expires", (key) => key.expires?.slice(0, 10) ?? "never"],
  ["open", (key) => key.open, "number"],
  ["requests", (key) => key.requests.toLocaleString("en"), "number"],
  ["refused", (key) => key.refused.toLocaleString("en"), "number"],
  ["documents", (key) => key.documents.toLocaleString("en"), "number"],
];

const CACHE_COLUMNS = [
  ["hit rate", (model) => `${(100 * model.hit_rate).toFixed(1)} %`, "number"],
  ...["computed", "duplicate", "joined", "memory", "disk", "shared"].map(count),
  ["saved s", (model) => model.saved_seconds.toLocaleString("en", { maximumFractionDigits: 1 }), "number"],
];

const STORE_COLUMNS = [
  ["state", (store) => element("span", { class: "pill", "data-state": store.state === "ok" ? "ready" : "failed" }, store.state)],
  ["size", (store) => (store.bytes == null ? "–" : bytes(store.bytes)), "number"],
  ...["found", "missing", "unread", "damaged", "written", "dropped"].map(count),
];

let timer = null;
let polls = 0;
let lastReply = null; // the time of the last reply
let shownModels = "";
let shownKeys = "[]";
let shownScores = "";

/** Starts to poll; `askForKey` is called with a refusal for the lack of a valid key. */
export function startStatus(askForKey) {
  if (timer !== null) return;
  buildHistory(() => {
    stopStatus();
    startStatus(askForKey);
  });
  polls = 0;
  timer = setTimeout(() => poll(askForKey), 0);
}

/** Stops polling. */
export function stopStatus() {
  clearTimeout(timer);
  timer = null;
}

async function poll(askForKey) {
  const mine = timer;
  try {
    const query = polls % HISTORY_EVERY ? "" : `?${historyQuery()}`;
    const status = await ask(`status${query}`, { seconds: TIMEOUT_SECONDS });
    if (timer === mine) show(status);
  } catch (refusal) {
    if (timer === mine) showRefusal(refusal, askForKey);
  }
  if (timer === mine) timer = setTimeout(() => poll(askForKey), POLL_MS);
}

function show(status) {
  lastReply = new Date();
  polls += 1;
  showProblem(find("status-problem"), "");
  find("view-status").classList.remove("stale", "locked");
  setText(find("status-facts"), `version ${status.version}, up ${duration(status.uptime_seconds)}${reloading(status)}`);
  if (status.history) showHistory(status.history);
  showModels(status);
  showScores(status.score_cache);
  showKeys(status.keys ?? []);
  showProblems(status);
}

function showRefusal(refusal, askForKey) {
  polls = 0; // the history is asked for again
  if (refusal.status === 404 && forgetModel()) return; // a restarted gateway has no history of it yet
  const isForbidden = refusal.status === 401 || refusal.status === 403;
  const isForKey = isForbidden && (refusal.needsKey || Boolean(key.get()));
  find("view-status").classList.toggle("locked", isForbidden);
  const since = lastReply ? ` Last seen at ${lastReply.toLocaleTimeString("en-GB")}; the figures below are from then.` : "";
  const again = ` Trying again every ${POLL_MS / 1000} s.`;
  const message = refusal.status ? refusal.message : refusal.message + since + again;
  showProblem(find("status-problem"), isForKey ? "" : message); // the form for the key has its own reason
  find("view-status").classList.add("stale");
  if (isForKey) askForKey(refusal);
}

// -- models ----------------------------------------------------------------------------------------

function revisions(status) {
  const beside = (note) => (status.reload?.[note] ?? []).map((model) => ({ ...model, note }));
  return [...status.models.map((model) => ({ ...model, note: "" })), ...beside("coming"), ...beside("leaving")];
}

function showModels(status) {
  const models = revisions(status);
  const isOperator = Boolean(status.keys?.length); // without keys, changes are for the operator's socket alone
  const now = JSON.stringify([models, isOperator]);
  if (now === shownModels) return; // keeps a selection, and is not announced again
  shownModels = now;
  keepFocus(() => find("models").replaceChildren(...models.map((model) => modelCard(model, isOperator))));
}

function modelCard(model, isOperator) {
  const state = model.note || model.state;
  const [button, refusal] = isOperator ? modelButtons(model) : [];
  return element(
    "section",
    { class: "model", "aria-label": model.name },
    element(
      "div",
      { class: "row spread" },
      element("h2", {}, model.name),
      element("div", { class: "row" }, button ?? null, element("span", { class: "pill", "data-state": state }, state)),
    ),
    refusal ?? null,
    element("p", { class: "hint facts" }, factsOf(model)),
    ...reasonsOf(model).map((reason) => element("p", { class: "reason" }, reason)),
    shardTable(model),
  );
}

/** Returns the different reasons for which shards of a model do not score. */
function reasonsOf({ shards }) {
  return [...new Set(shards.filter(({ state }) => state !== "ready").map((shard) => shard.last_error))].filter(Boolean);
}

function factsOf(model) {
  const facts = [
    model.default && "default",
    model.engine,
    model.demonstration && "demonstration",
    model.max_length && `${model.max_length.toLocaleString("en")} tokens a pair`,
    ...model.aliases.map((alias) => `also ${alias}`),
    `${model.queue} waiting`,
  ];
  return facts.filter(Boolean).join(" · ");
}

function shardTable(model) {
  return table(`Shards of ${model.name}`, "shard", COLUMNS, model.shards);
}

/** Roles are explicit because a phone shows the table as a grid, for which browsers drop them. */
function table(label, first, columns, lines) {
  const head = [[first], ...columns].map(([name, , kind]) => element("th", { scope: "col", role: "columnheader", class: kind }, name));
  const rows = lines.map((line) =>
    element(
      "tr",
      { role: "row" },
      element("th", { scope: "row", role: "rowheader" }, line.name || line.id),
      ...columns.map(([name, cell, kind]) => element("td", { role: "cell", class: kind, "data-label": name }, cell(line))),
    ),
  );
  return element(
    "table",
    { role: "table", "aria-label": label },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...rows),
  );
}

function stateOf({ state, stage }) {
  return stage && state !== "ready" ? `${state}: ${stage}` : state;
}

// -- keys ------------------------------------------------------------------------------------------

function showKeys(keys) {
  const now = JSON.stringify(keys);
  if (now === shownKeys) return;
  shownKeys = now;
  const card = () => element("section", { class: "model", "aria-label": "API keys" }, element("h2", {}, "API keys"), keyTable(keys));
  find("keys").replaceChildren(...(keys.length ? [card()] : []));
}

function keyTable(keys) {
  return table("API keys", "key", KEY_COLUMNS, keys);
}

// -- score cache -----------------------------------------------------------------------------------

function count(name) {
  return [name, (line) => line[name].toLocaleString("en"), "number"];
}

function showScores(cache) {
  const now = JSON.stringify(cache);
  if (now === shownScores) return;
  shownScores = now;
  find("scores").replaceChildren(...(cache?.max_bytes ? [scoresCard(cache)] : []));
}

function scoresCard(cache) {
  const size = `${bytes(cache.bytes)} of ${bytes(cache.max_bytes)}`;
  const facts = [`${cache.entries.toLocaleString("en")} scores`, size, `kept ${duration(cache.seconds)}`];
  const named = (lines, name) => lines.map((line) => ({ ...line, name: line[name] }));
  const tables = [["Documents by source of their score", "model", CACHE_COLUMNS, named(cache.models, "model")]];
  if (cache.stores.length) tables.push(["Stores of scores", "store", STORE_COLUMNS, named(cache.stores, "source")]);
  return element(
    "section",
    { class: "model", "aria-label": "Score cache" },
    element("h2", {}, "Score cache"),
    element("p", { class: "hint facts" }, facts.join(" · ")),
    ...tables.map((described) => table(...described)),
  );
}

// -- problems --------------------------------------------------------------------------------------

function showProblems(status) {
  const found = revisions(status).flatMap(({ shards }) => shards.flatMap(linesOf));
  const degraded = (status.score_cache?.stores ?? []).filter(({ reason }) => reason);
  for (const { source, reason } of degraded) found.push([`the ${source} store of scores`, reason, ""]);
  for (const text of status.reload?.last?.errors ?? []) found.push(["the last reload", text, ""]);
  const lines = found.map(([where, text, kind]) => element("li", { class: kind }, element("b", {}, where), `: ${text}`));
  const list = element("ul", {}, ...(lines.length ? lines : [element("li", { class: "hint" }, "None.")]));
  if (list.textContent !== find("troubles").textContent) find("troubles").replaceChildren(...list.children);
}

function linesOf({ name, last_error, warnings, notes = [] }) {
  const problems = [last_error, ...warnings].filter(Boolean).map((text) => [name, text, ""]);
  return [...problems, ...notes.map((text) => [name, text, "hint"])];
}

// -- words -----------------------------------------------------------------------------------------

function reloading({ reload }) {
  if (!reload) return "";
  return reload.running ? ", reloading" : `, configuration ${reload.generation}`;
}

function bytes(count) {
  return count >= 2 ** 30 ? `${(count / 2 ** 30).toFixed(1)} GiB` : `${Math.round(count / 2 ** 20)} MiB`;
}

function duration(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let rest = Math.floor(seconds);
  const parts = [];
  for (const [size, unit] of units) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(" ") || "0 s";
}
