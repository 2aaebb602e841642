// The page: the current view, the health of the gateway, and the form for a key.

import { find, setText } from "./dom.js";
import { ask, key } from "./gateway.js";
import { readModels, startPlayground } from "./playground.js";
import { startStatus, stopStatus } from "./status.js";

const HEALTH_EVERY_MS = 3000;
const HEALTH_TIMEOUT_SECONDS = 3;

let view = "playground";
let readStates = null; // the states of the models when their list was last read
let isKeyNeeded = false;

// -- views -----------------------------------------------------------------------------------------

function showView() {
  const wanted = location.hash.slice(1);
  if (wanted === "playground" || wanted === "status") view = wanted;
  for (const name of ["playground", "status"]) {
    find(`view-${name}`).hidden = name !== view;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "status" ? "Status · Rerank gateway" : "Rerank gateway";
  watch();
}

function watch() {
  if (view === "status" && document.visibilityState === "visible") startStatus(askForKey);
  else stopStatus();
}

// -- health ----------------------------------------------------------------------------------------

async function pollHealth() {
  if (document.visibilityState === "visible") await health();
  setTimeout(pollHealth, HEALTH_EVERY_MS);
}

async function health() {
  try {
    const report = await ask("health", { seconds: HEALTH_TIMEOUT_SECONDS, statuses: [200, 503] });
    showHealth(report.status, WORDS[report.status] ?? report.status);
    await models(JSON.stringify(report.models.map(({ name, state }) => [name, state])));
  } catch {
    showHealth("down", "not answering");
  }
}

const WORDS = { ok: "ready", degraded: "degraded", loading: "loading", down: "down" };

function showHealth(state, words) {
  find("health").dataset.state = state;
  setText(find("health"), words);
}

async function models(states) {
  if (states === readStates || isKeyNeeded) return;
  try {
    await readModels();
    readStates = states;
  } catch (refusal) {
    if (refusal.needsKey) askForKey(refusal);
  }
}

// -- the key ---------------------------------------------------------------------------------------

function askForKey(refusal, { byHand = false } = {}) {
  isKeyNeeded = true;
  find("key-form").hidden = false;
  setText(find("key-reason"), refusal.message);
  if (byHand) find("key").focus();
}

function useKey(value) {
  if (value) key.set(value);
  else key.forget();
  find("key").value = "";
  find("key-form").hidden = true;
  isKeyNeeded = false;
  readStates = null;
  health();
  stopStatus();
  watch();
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(find("key").value.trim());
});
find("key-forget").addEventListener("click", () => useKey(""));
window.addEventListener("hashchange", showView);
document.addEventListener("visibilitychange", watch);

startPlayground(askForKey);
showView();
pollHealth();
