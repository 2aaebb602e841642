// The choice of the models: the list of the gateway, and the model that is chosen at first.

import { element, find, setText } from "./dom.js";
import { ask } from "./gateway.js";

const BEST_STATES = ["ready", "degraded", "idle"]; // in this order; other states cannot score

let isChosen = false; // by hand
let states = new Map();

/** Connects the options; the line beside their title says what is set. */
export function startModels() {
  find("model").addEventListener("change", () => (isChosen = true));
  find("options").addEventListener("input", describeOptions);
  find("options").addEventListener("change", describeOptions);
}

/** Reads the list of models; keeps those that were chosen by hand. */
export async function readModels() {
  const { data } = await ask("v1/models", { seconds: 5 });
  states = new Map(data.map(({ id, state }) => [id, state]));
  const kept = find("model").value;
  const keeps = states.has(kept) && (isChosen || states.get(kept) === "ready");
  offer(find("model"), data.map(choice), keeps ? kept : preferred(data)?.id);
  offer(find("other"), [["", "no other"], ...data.map(choice)], find("other").value);
  describeOptions();
}

/** Returns the names of the chosen models: one, or two to compare. */
export function chosenModels() {
  return [find("model").value, find("other").value].filter((name, place) => name || !place);
}

/** Returns whether the chosen models are ready, so that a request is answered at once. */
export const areReady = () => chosenModels().every((name) => states.get(name) === "ready");

/** Returns the model that scores soonest; of equals the default, then the first. */
function preferred(models) {
  const rank = ({ state, default: isDefault }) => 2 * (BEST_STATES.indexOf(state) + 1 || 9) - isDefault;
  return models.toSorted((one, other) => rank(one) - rank(other))[0];
}

function choice({ id, state }) {
  return [id, state === "ready" ? id : `${id} (${state})`];
}

function offer(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
  if (choices.some(([value]) => value === chosen)) select.value = chosen;
}

function describeOptions() {
  const [model, other] = chosenModels();
  const set = [
    other ? `${model} and ${other}` : model,
    find("instruction").value.trim() && "an instruction",
    find("long").value && `long documents ${find("long").selectedOptions[0].text}`,
    find("top").value.trim() && `top ${find("top").value.trim()}`,
  ];
  setText(find("options-set"), set.filter(Boolean).join(", "));
}
