// The operator's button of a model: it loads the model, or unloads it when its requests have left.

import { element, find } from "./dom.js";
import { ask } from "./gateway.js";

const PATHS = { Load: "admin/load", Unload: "admin/unload" };
const ACTIONS = { idle: "Load", failed: "Load", backoff: "Load", ready: "Unload", degraded: "Unload", loading: "Unload" };

const refusals = new Map(); // the last one of each model, until its button is pressed again

/** Returns the button of a model and its last refusal; nothing for a state that it cannot change. */
export function modelButtons(model) {
  const action = model.note ? null : ACTIONS[model.state];
  if (!action) return [];
  const attributes = { type: "button", class: "small", "data-model": model.name, "aria-label": `${action} ${model.name}` };
  const button = element("button", { ...attributes, "aria-disabled": model.is_leaving && "true" }, model.is_leaving ? "Unloading" : action);
  const refusal = element("p", { class: "reason", role: "alert", hidden: !refusals.has(model.name) }, refusals.get(model.name) ?? "");
  button.addEventListener("click", () => press(model.name, action, button, refusal));
  return [button, refusal];
}

/** Draws the models again, and gives the focus back to the button that had it. */
export function keepFocus(draw) {
  const { model } = document.activeElement.dataset;
  draw();
  if (model) find("models").querySelector(`[data-model="${CSS.escape(model)}"]`)?.focus({ preventScroll: true });
}

async function press(name, action, button, refusal) {
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true"); // and not `disabled`, which loses the focus
  button.textContent = `${action}ing`;
  refusals.delete(name);
  try {
    await ask(`${PATHS[action]}?model=${encodeURIComponent(name)}`, { body: {}, seconds: 5, statuses: [202] });
  } catch (error) {
    refusals.set(name, error.message);
    button.removeAttribute("aria-disabled");
    button.textContent = action;
  }
  refusal.textContent = refusals.get(name) ?? "";
  refusal.hidden = !refusals.has(name);
}
