// The examples of the API: sent as they are typed, with the reply beside them, and written as curl.

import { find, setText } from "./dom.js";
import { key } from "./gateway.js";

const UNAUTHORIZED = 401;
let refused = null; // the form whose request needs a key

for (const form of document.querySelectorAll(".try")) prepare(form);

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(find("key").value.trim());
  find("key").value = "";
  find("key-form").hidden = true;
  refused?.requestSubmit();
});

function prepare(form) {
  const body = form.querySelector("textarea");
  const curl = form.parentElement.querySelector(".curl");
  const write = () => setText(curl.querySelector("pre"), asCurl(form.dataset.path, body.value));
  for (const button of form.querySelectorAll("button")) button.hidden = false;
  curl.hidden = false;
  write();
  body.addEventListener("input", write);
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.querySelector(".reset").addEventListener("click", () => {
    body.value = body.defaultValue;
    write();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, body.value);
  });
}

async function send(form, body) {
  const state = form.querySelector("[role=status]");
  const shown = form.querySelector("pre");
  setText(state, "Sending…");
  const begun = performance.now();
  try {
    const headers = { "Content-Type": "application/json", ...(key.get() && { Authorization: `Bearer ${key.get()}` }) };
    const reply = await fetch(address(form.dataset.path), { method: "POST", headers, body, cache: "no-store" });
    const text = await reply.text();
    setText(state, `Reply: ${reply.status} ${reply.statusText}, ${Math.round(performance.now() - begun)} ms`);
    shown.classList.toggle("failed", !reply.ok);
    setText(shown, indented(text));
    if (reply.status === UNAUTHORIZED) askForKey(form);
  } catch {
    setText(state, "No reply");
    shown.classList.add("failed");
    setText(shown, "The gateway does not answer. It may have been stopped, or the network is down.");
  }
}

function askForKey(form) {
  refused = form;
  setText(find("key-reason"), key.get() ? "The gateway refuses this key." : "This gateway answers requests with a key only.");
  find("key-form").hidden = false;
  find("key").focus();
}

/** Returns the address of a path; a proxy may serve the page under a prefix. */
function address(path) {
  return new URL(path.slice(1), new URL(".", location.href)).href;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // not JSON: as it came
  }
}

function asCurl(path, body) {
  const authorization = key.get() ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "";
  const quoted = body.replaceAll("'", `'\\''`);
  return `curl -s ${address(path)} \\\n  -H 'Content-Type: application/json'${authorization} \\\n  -d '${quoted}'`;
}
