// The page: which view is shown, how the gateway does, and a key when one is wanted.

import { find, say } from "./dom.js";
import { ask, key } from "./gateway.js";
import { readModels, startPlayground } from "./playground.js";
import { startStatus, stopStatus } from "./status.js";

const HEALTH_EVERY_MS = 3000;
const HEALTH_PATIENCE_SECONDS = 3;

let view = "playground";
let known = null; // the states of the models when their list was read
let isKeyWanted = false;

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
  if (view === "status" && document.visibilityState === "visible") startStatus(wantKey);
  else stopStatus();
}

// -- health ----------------------------------------------------------------------------------------

async function lookAtHealth() {
  if (document.visibilityState === "visible") await health();
  setTimeout(lookAtHealth, HEALTH_EVERY_MS);
}

async function health() {
  try {
    const report = await ask("health", { seconds: HEALTH_PATIENCE_SECONDS, statuses: [200, 503] });
    showHealth(report.status, WORDS[report.status] ?? report.status);
    await models(JSON.stringify(report.models.map(({ name, state }) => [name, state])));
  } catch {
    showHealth("down", "not answering");
  }
}

const WORDS = { ok: "ready", degraded: "degraded", loading: "loading", down: "down" };

function showHealth(state, words) {
  find("health").dataset.state = state;
  say(find("health"), words);
}

async function models(states) {
  if (states === known || isKeyWanted) return;
  try {
    await readModels();
    known = states;
  } catch (refusal) {
    if (refusal.wantsKey) wantKey(refusal);
  }
}

// -- the key ---------------------------------------------------------------------------------------

function wantKey(refusal, { byHand = false } = {}) {
  isKeyWanted = true;
  find("key-form").hidden = false;
  say(find("key-reason"), refusal.message);
  if (byHand) find("key").focus();
}

function useKey(value) {
  if (value) key.set(value);
  else key.forget();
  find("key").value = "";
  find("key-form").hidden = true;
  isKeyWanted = false;
  known = null;
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

startPlayground(wantKey);
showView();
lookAtHealth();
