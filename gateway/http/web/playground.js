// The playground: sends requests from the form, and shows their replies in columns.

import { asCurl, asPython } from "./copies.js";
import { documentsOf, linesOf } from "./documents.js";
import { element, find, setText, showProblem } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { ask, key } from "./gateway.js";
import { placesOf, ranking } from "./ranking.js";

const PATH = "rerank";
let opened = null; // documents of a file, which replace the typed ones
let running = null; // the controller that aborts the open requests

/** Connects the form; `askForKey` is called with a refusal for the lack of a valid key. */
export function startPlayground(askForKey) {
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    rerank(askForKey);
  });
  find("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("ask").requestSubmit();
  });
  find("stop").addEventListener("click", () => running?.abort());
  find("copy-curl").addEventListener("click", () => copy("curl", asCurl));
  find("copy-python").addEventListener("click", () => copy("Python", asPython));
  find("examples").append(...EXAMPLES.map(exampleButton));
  find("columns").addEventListener("pointerover", showTwins);
  find("columns").addEventListener("pointerleave", () => markTwins(null));
  startFiles();
}

/** Reads the list of models; keeps the chosen ones. */
export async function readModels() {
  const { data } = await ask("v1/models", { seconds: 5 });
  const preferred = data.find((model) => model.default) ?? data[0];
  offer(find("model"), data.map(choice), find("model").value || preferred?.id);
  offer(find("other"), [["", "no other"], ...data.map(choice)], find("other").value);
}

function choice(model) {
  return [model.id, model.state === "ready" ? model.id : `${model.id} (${model.state})`];
}

function offer(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
  if (choices.some(([value]) => value === chosen)) select.value = chosen;
}

// -- the request -----------------------------------------------------------------------------------

function request(model) {
  const top = find("top").value.trim();
  const instruction = find("instruction").value.trim();
  return {
    ...(model ? { model } : {}),
    query: find("query").value,
    documents: opened ?? linesOf(find("documents").value),
    ...(instruction ? { instruction } : {}),
    ...(find("long").value ? { long_documents: find("long").value } : {}),
    ...(top ? { top_n: /^\d+$/.test(top) ? Number(top) : top } : {}), // the gateway reports an invalid one
  };
}

function chosenModels() {
  const [model, other] = [find("model").value, find("other").value];
  return other ? [model, other] : [model];
}

async function rerank(askForKey) {
  running?.abort();
  const mine = (running = new AbortController());
  const models = chosenModels();
  const bodies = models.map(request);
  const stopClock = showWaiting(models);
  const asked = bodies.map((body) => ask(PATH, { body: { ...body, return_details: true }, signal: mine.signal }));
  const answers = await Promise.allSettled(asked);
  stopClock();
  if (running !== mine) return; // a later request has replaced this one
  running = null;
  find("stop").hidden = true;
  find("outcome").removeAttribute("aria-busy");
  show(models, bodies[0].documents, answers);
  bringIntoView(find("outcome"));
  const refused = answers.find(({ reason }) => reason?.needsKey);
  if (refused) askForKey(refused.reason, { byHand: true });
}

function showWaiting(models) {
  const names = models.map((model) => model || "the default model").join(" and ");
  const started = performance.now();
  const clock = element("span", { "aria-hidden": "true" });
  find("outcome").setAttribute("aria-busy", "true");
  find("summary").replaceChildren(`Asking ${names} … `, clock);
  find("stop").hidden = false;
  const tick = setInterval(() => setText(clock, `${Math.round((performance.now() - started) / 1000)} s`), 1000);
  return () => clearInterval(tick);
}

function bringIntoView(node) {
  const hasReducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const { top } = node.getBoundingClientRect();
  if (top > innerHeight * 0.7) node.scrollIntoView({ behavior: hasReducedMotion ? "instant" : "smooth", block: "start" });
}

// -- the replies -----------------------------------------------------------------------------------

function show(models, documents, answers) {
  const first = answers[0].status === "fulfilled" ? placesOf(answers[0].value) : null;
  find("columns").classList.toggle("two", models.length > 1);
  find("columns").replaceChildren(
    ...answers.map((answer, place) => column(models[place], answer, documents, place ? first : null)),
  );
  const failed = answers.filter(({ status }) => status === "rejected").length;
  const stopped = answers.every(({ reason }) => reason?.name === "AbortError");
  setText(find("summary"), stopped ? "Stopped." : failed ? `No ranking from ${failed} of ${models.length}.` : summaryOf(documents, answers));
}

function summaryOf(documents, answers) {
  const count = `${documents.length} ${documents.length === 1 ? "document" : "documents"}`;
  const models = answers.map(({ value }) => `${value.model} in ${value.processing_time_ms.toFixed(0)} ms`);
  const marks = answers.length > 1 ? ` The marks ▲ ▼ are places gained and lost against ${answers[0].value.model}.` : "";
  return `${count} ranked by ${models.join(", by ")}.${marks}`;
}

function column(model, answer, documents, before) {
  if (answer.status === "rejected") {
    return element("section", { class: "column" }, element("h2", {}, model || "default"), problem(answer.reason));
  }
  const reply = answer.value;
  return element(
    "section",
    { class: "column", "aria-label": `Ranking by ${reply.model}` },
    element("h2", {}, reply.model),
    element("p", { class: "hint" }, `${reply.usage.total_tokens} tokens, ${reply.processing_time_ms.toFixed(1)} ms`),
    ...(reply.meta.warnings ?? []).map((line) => element("p", { class: "notice" }, line)),
    ...ranking(reply, documents, before),
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

// -- files, examples, copies -----------------------------------------------------------------------

function startFiles() {
  const [drop, file] = [find("drop"), find("file")];
  file.addEventListener("change", () => file.files.length && open(file.files[0]));
  find("opened-close").addEventListener("click", () => {
    useFile(null);
    find("documents").focus();
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
    });
  }
}

async function open(file) {
  try {
    useFile(file.name, documentsOf(file.name, await file.arrayBuffer()));
    showProblem(find("file-error"), "");
  } catch (error) {
    showProblem(find("file-error"), error.message);
  }
  find("file").value = ""; // or the same file could not be opened again
}

function useFile(name, documents = null) {
  opened = documents;
  find("opened").hidden = !documents;
  find("documents").hidden = Boolean(documents);
  setText(find("opened-name"), name ?? "");
  setText(find("opened-count"), documents ? `${documents.length.toLocaleString("en")} documents` : "");
}

function exampleButton(example) {
  const button = element("button", { type: "button", class: "small", lang: example.language }, example.label);
  button.addEventListener("click", () => {
    useFile(null);
    find("query").value = example.query;
    find("documents").value = example.documents.join("\n");
    find("ask").requestSubmit();
  });
  return button;
}

async function copy(language, write) {
  const text = write(new URL(PATH, document.baseURI).href, request(find("model").value), Boolean(key.get()));
  try {
    await navigator.clipboard.writeText(text);
    setText(find("copied"), `Copied for ${language}.`);
  } catch {
    find("by-hand-text").value = text;
    find("by-hand").showModal();
    find("by-hand-text").select();
  }
}
