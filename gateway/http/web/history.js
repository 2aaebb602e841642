// The history on the status: a choice of range and model, and one chart for each panel.

import { element, find } from "./dom.js";
import { Chart } from "./chart.js";
import { PANELS, windowOf } from "./panels.js";

const KEY = "rerank-gateway.range";
const MINUTE = 60;
const RANGES = {
  "15 min": { history: "hour", seconds: 15 * MINUTE },
  "1 h": { history: "hour", seconds: 60 * MINUTE },
  "6 h": { history: "day", seconds: 360 * MINUTE },
  "24 h": { history: "day", seconds: 1440 * MINUTE },
};
const DEFAULT = "1 h";

let charts = [];
let range = kept() ?? DEFAULT;
let model = "";
let shown = null; // the last history
let choice = null; // the field of the model

/** Builds the charts; `chosen` is called when another history is needed. */
export function buildHistory(chosen) {
  if (charts.length) return;
  charts = PANELS.map((panel) => new Chart(panel));
  const buttons = Object.keys(RANGES).map((name) => rangeButton(name, chosen));
  choice = element("select", { id: "history-model" }, element("option", { value: "" }, "all models"));
  choice.addEventListener("change", () => {
    model = choice.value;
    chosen();
  });
  const field = element("label", { class: "row" }, "Requests of ", choice);
  const ranges = element("div", { class: "ranges row", role: "group", "aria-label": "Range" }, ...buttons);
  const controls = element("div", { class: "controls row spread" }, field, ranges);
  find("tiles").before(controls);
  find("tiles").append(...charts.map(({ node }) => node));
}

/** Returns the query of `/status` for the chosen history. */
export function historyQuery() {
  const query = new URLSearchParams({ history: RANGES[range].history });
  if (model) query.set("model", model);
  return query.toString();
}

/** Returns to the history of all requests, if that of a model was chosen. */
export function forgetModel() {
  const was = model;
  model = choice.value = "";
  return was;
}

/** Draws a history, unless another one has been chosen since it was asked for. */
export function showHistory(history) {
  if (history.range !== RANGES[range].history || (history.model ?? "") !== model) return;
  shown = history;
  showModels(history.models);
  const span = windowOf(history, RANGES[range].seconds);
  for (const [place, panel] of PANELS.entries()) charts[place].show(panel.lines(span), span);
}

function rangeButton(name, chosen) {
  const button = element("button", { type: "button", class: "small", "aria-pressed": String(name === range) }, name);
  button.addEventListener("click", () => {
    range = name;
    keep(name);
    for (const each of button.parentElement.children) each.setAttribute("aria-pressed", String(each === button));
    if (shown?.range === RANGES[range].history) showHistory(shown);
    else chosen();
  });
  return button;
}

function showModels(names) {
  const wanted = ["", ...names];
  if ([...choice.options].map(({ value }) => value).join("\n") === wanted.join("\n")) return;
  choice.replaceChildren(...wanted.map((name) => element("option", { value: name }, name || "all models")));
  choice.value = model;
}

function kept() {
  try {
    const name = sessionStorage.getItem(KEY);
    return name in RANGES ? name : null;
  } catch {
    return null; // the browser blocks storage for this page
  }
}

function keep(name) {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // the choice lasts until the page is loaded again
  }
}
