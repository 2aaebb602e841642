// The outcome of a request: its summary, a column for each model, and the problems.

import { element, find, setText } from "./dom.js";
import { placesOf, ranking } from "./ranking.js";

const BEFORE = "Results appear here, best first.";

/** Connects the outcome: a document under the pointer is marked in both columns. */
export function startOutcome(stop) {
  find("stop").addEventListener("click", stop);
  find("edit").addEventListener("click", () => find("query").focus());
  find("columns").addEventListener("pointerover", showTwins);
  find("columns").addEventListener("pointerleave", () => markTwins(null));
  clearOutcome();
}

/** Shows that there is no outcome. */
export function clearOutcome() {
  setBusy(false);
  setText(find("summary"), BEFORE);
  find("columns").replaceChildren();
}

/** Shows that models are asked, and for how long; returns the function that ends it. */
export function showWaiting(models) {
  const names = models.map((model) => model || "the default model").join(" and ");
  const started = performance.now();
  const clock = element("span", { "aria-hidden": "true" });
  setBusy(true);
  find("summary").replaceChildren(`Asking ${names} … `, clock);
  const tick = setInterval(() => setText(clock, `${Math.round((performance.now() - started) / 1000)} s`), 1000);
  return () => clearInterval(tick);
}

/** Shows the answers of models, which are settled promises. */
export function showOutcome(models, documents, answers) {
  setBusy(false);
  const folds = [];
  const first = answers[0].value ? placesOf(answers[0].value) : null;
  const messages = new Set(answers.map(({ reason }) => reason?.message));
  const isOneProblem = answers.length > 1 && messages.size === 1 && !messages.has(undefined);
  const shown = isOneProblem ? answers.slice(0, 1) : answers;
  const name = (place) => (isOneProblem ? models.join(" and ") : models[place] || "default");
  find("columns").classList.toggle("two", shown.length > 1);
  find("columns").replaceChildren(
    ...shown.map((answer, place) => column(name(place), answer, { documents, folds, before: place ? first : null })),
  );
  setText(find("summary"), summaryOf(documents, answers));
}

function setBusy(isBusy) {
  find("stop").hidden = !isBusy;
  if (isBusy) find("outcome").setAttribute("aria-busy", "true");
  else find("outcome").removeAttribute("aria-busy");
}

function summaryOf(documents, answers) {
  const replies = answers.flatMap(({ value }) => value ?? []);
  if (answers.every(({ reason }) => reason?.name === "AbortError")) return "Stopped.";
  if (!replies.length) return "No ranking.";
  const count = `${documents.length.toLocaleString("en")} ${documents.length === 1 ? "document" : "documents"}`;
  if (replies.length === 1) return `${count} ranked by ${replies[0].model} in ${costOf(replies[0])}.`;
  return `${count} ranked by two models. ▲ ▼: places gained, lost against ${replies[0].model}.`;
}

function costOf(reply) {
  return `${reply.processing_time_ms.toFixed(0)} ms, ${reply.usage.total_tokens.toLocaleString("en")} tokens`;
}

function column(model, answer, { documents, folds, before }) {
  if (answer.status === "rejected") {
    return element(
      "section",
      { class: "column", "aria-label": model },
      element("div", { class: "row head" }, element("h2", {}, model)),
      problem(answer.reason),
    );
  }
  const reply = answer.value;
  return element(
    "section",
    { class: "column", "aria-label": `Ranking by ${reply.model}` },
    element("div", { class: "row head" }, element("h2", {}, reply.model), element("span", { class: "hint" }, costOf(reply))),
    ...(reply.meta.warnings ?? []).map((line) => element("p", { class: "notice" }, line)),
    ...ranking(reply, documents, before, folds),
  );
}

function problem(refusal) {
  if (refusal.name === "AbortError") return element("p", { class: "hint" }, "Stopped before the reply.");
  const where = [refusal.status || "", refusal.code, refusal.id && `request ${refusal.id}`].filter(Boolean).join(" · ");
  return element(
    "div",
    { class: "notice problem", role: "alert" },
    element("p", {}, refusal.message),
    where ? element("p", { class: "hint" }, where) : null,
  );
}

function showTwins(event) {
  markTwins(event.target.closest(".result")?.dataset.index ?? null);
}

function markTwins(index) {
  for (const result of document.querySelectorAll(".columns.two .result")) {
    result.classList.toggle("twin", result.dataset.index === index);
  }
}
