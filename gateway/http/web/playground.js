// The playground: the form, its requests, examples, and copies of a request for programs.

import { asCurl, asPython } from "./copies.js";
import { documents, fillDocuments, faultOfDocuments, startDocuments } from "./document_field.js";
import { bringIntoView, element, find, setText, showFault } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { ask, key } from "./gateway.js";
import { areReady, chosenModels, startModels } from "./models.js";
import { clearOutcome, showOutcome, showWaiting, startOutcome } from "./outcome.js";

const PATH = "rerank";
let running = null; // the controller that aborts the open requests
let isRefused = false; // the last request lacked a valid key
let untouched = []; // fields whose text is that of an example
let wasFilled = false; // by hand or with an example
let reportLackOfKey; // called with the refusal of a request

/** Connects the form; `askForKey` is called with a refusal for the lack of a valid key. */
export function startPlayground(askForKey) {
  reportLackOfKey = askForKey;
  startDocuments();
  startModels();
  startOutcome(() => running?.abort());
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    rerank();
  });
  find("ask").addEventListener("keydown", submitByKey);
  find("copy-curl").addEventListener("click", () => copy("curl", asCurl));
  find("copy-python").addEventListener("click", () => copy("Python", asPython));
  find("examples").append(...EXAMPLES.map(exampleButton));
  find("clear").addEventListener("click", clear);
  for (const field of [find("query"), find("documents")]) {
    field.addEventListener("input", typed);
    field.addEventListener("focus", selectExample);
  }
}

/** Ranks the first example if nothing was filled in yet and the model is ready. */
export function rankFirstExample() {
  const isEmpty = !find("query").value && !find("documents").value && !documents().length;
  if (wasFilled || !isEmpty || !areReady() || find("view-playground").hidden) return;
  fill(EXAMPLES[0]);
  send();
}

/** Sends the last request again if it was refused for the lack of a valid key. */
export function repeatRefused() {
  if (isRefused) rerank();
}

// -- the form --------------------------------------------------------------------------------------

function submitByKey(event) {
  const isBare = event.target === find("query") && !event.shiftKey && !event.isComposing;
  if (event.key !== "Enter" || !(isBare || event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  find("ask").requestSubmit();
}

function exampleButton(example) {
  const button = element("button", { type: "button", class: "small", lang: example.language }, example.label);
  button.addEventListener("click", () => {
    fill(example);
    find("ask").requestSubmit();
  });
  return button;
}

function fill(example) {
  find("query").value = example.query;
  fillDocuments(example.documents.join("\n"));
  showFault(find("query"), "");
  untouched = [find("query"), find("documents")];
  wasFilled = true;
}

function clear() {
  running?.abort();
  running = null;
  fill({ query: "", documents: [] });
  clearOutcome();
  find("query").focus();
}

function typed({ target }) {
  untouched = untouched.filter((field) => field !== target);
  wasFilled = true;
  if (target === find("query")) showFault(target, "");
}

/** Selects the text of an example, so that typing replaces it. */
function selectExample({ target }) {
  if (untouched.includes(target)) target.select();
}

/** Shows what is missing below its field; returns whether anything is. */
function isIncomplete() {
  showFault(find("query"), find("query").value.trim() ? "" : "Write a query: what should the documents be ranked for?");
  showFault(find("documents"), faultOfDocuments());
  const field = document.querySelector("#ask [aria-invalid]");
  if (!field) return false;
  (field.hidden ? find("file") : field).focus();
  bringIntoView(field.closest(".field"));
  return true;
}

// -- the request -----------------------------------------------------------------------------------

function request(model) {
  const top = find("top").value.trim();
  const instruction = find("instruction").value.trim();
  return {
    ...(model ? { model } : {}),
    query: find("query").value,
    documents: documents(),
    ...(instruction ? { instruction } : {}),
    ...(find("long").value ? { long_documents: find("long").value } : {}),
    ...(top ? { top_n: /^\d+$/.test(top) ? Number(top) : top } : {}), // the gateway reports an invalid one
  };
}

async function rerank() {
  if (isIncomplete()) return;
  const sent = send();
  bringIntoView(find("outcome"));
  if (await sent) bringIntoView(find("outcome"));
}

/** Sends the request and shows its outcome; returns whether it is shown. */
async function send() {
  running?.abort();
  const mine = (running = new AbortController());
  const models = chosenModels();
  const bodies = models.map(request);
  const stopClock = showWaiting(models);
  const asked = bodies.map((body) => ask(PATH, { body: { ...body, return_details: true }, signal: mine.signal }));
  const answers = await Promise.allSettled(asked);
  stopClock();
  if (running !== mine) return false; // a later request has replaced this one
  running = null;
  const refused = answers.find(({ reason }) => reason?.needsKey);
  isRefused = Boolean(refused);
  if (!refused) showOutcome(models, bodies[0].documents, answers);
  else {
    clearOutcome();
    reportLackOfKey(refused.reason, { byHand: true });
  }
  return !refused;
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
