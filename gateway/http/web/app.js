// The page: the current view, the health of the gateway, and the form for a key.

import { bringIntoView, find, setText } from "./dom.js";
import { ask, key } from "./gateway.js";
import { readModels } from "./models.js";
import { rankFirstExample, repeatRefused, startPlayground } from "./playground.js";
import { startStatus, stopStatus } from "./status.js";

const HEALTH_EVERY_MS = 3000;
const HEALTH_TIMEOUT_SECONDS = 3;

let view = "playground";
let readStates = null; // the states of the models when their list was last read
let isKeyNeeded = false;
let refusedView = null; // the view for which the present key is not enough

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
  if (refusedView !== null && refusedView !== view) hideKeyForm();
  rankFirstExample();
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
  const sent = key.get();
  try {
    await readModels();
    readStates = states;
    rankFirstExample();
  } catch (refusal) {
    if (refusal.needsKey && key.get() === sent) askForKey(refusal);
  }
}

// -- the key ---------------------------------------------------------------------------------------

const REASONS = {
  missing_api_key: "This gateway needs an API key.",
  forbidden: "The status is for operators: use an API key with admin = true.",
};

function askForKey(refusal, { byHand = false } = {}) {
  isKeyNeeded = refusal.needsKey;
  refusedView = refusal.needsKey ? null : view;
  showKeyForm(REASONS[refusal.code] ?? refusal.message);
  if (byHand) focusKey();
}

function focusKey() {
  find("key").focus({ preventScroll: true });
  bringIntoView(find("key-form"));
}

function showKeyForm(reason) {
  setText(find("key-reason"), reason);
  find("key-form").hidden = false;
  showKeyButtons();
}

function hideKeyForm() {
  find("key-form").hidden = true;
  refusedView = null;
  showKeyButtons();
}

function showKeyButtons() {
  find("key-forget").hidden = find("key-open").hidden = !key.get();
  find("key-open").setAttribute("aria-expanded", String(!find("key-form").hidden));
}

/** Tries a key; the form stays open while the gateway refuses it. */
async function useKey(value) {
  key.set(value);
  find("key").value = "";
  try {
    await readModels();
  } catch (refusal) {
    if (refusal.needsKey) key.forget();
    askForKey(refusal, { byHand: true });
    return;
  }
  isKeyNeeded = false;
  hideKeyForm();
  find("main").focus({ preventScroll: true });
  readAgain();
  repeatRefused();
}

function forgetKey() {
  key.forget();
  hideKeyForm();
  isKeyNeeded = false;
  readAgain();
}

function readAgain() {
  readStates = null;
  health();
  stopStatus();
  watch();
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(find("key").value.trim());
});
find("key-forget").addEventListener("click", forgetKey);
find("key-open").addEventListener("click", () => {
  if (!find("key-form").hidden) return hideKeyForm();
  showKeyForm("");
  focusKey();
});
window.addEventListener("hashchange", showView);
document.addEventListener("visibilitychange", watch);

startPlayground(askForKey);
showKeyButtons();
showView();
pollHealth();
