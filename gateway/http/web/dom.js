// Creation of elements. Text is never parsed as markup, so that no document can change the page.

const SVG = "http://www.w3.org/2000/svg";

/** Returns the element with an id. */
export const find = (id) => document.getElementById(id);

/** Returns an element with attributes and children, which are nodes, strings or numbers. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Returns an element of a drawing. */
export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Sets a text only where it differs, so that nothing is announced or unselected without need. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a problem, or hides its element if the problem is empty. */
export function showProblem(node, problem) {
  setText(node, problem);
  node.hidden = !problem;
}

/** Shows the problem of a field below it, or removes it if the problem is empty. */
export function showFault(field, problem) {
  showProblem(find(`${field.id}-problem`), problem);
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

/**
 * Jumps to the start of an element, unless its start is in the upper half of the window. A smooth
 * scroll would go on below what is shown next.
 */
export function bringIntoView(node) {
  const { top } = node.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) node.scrollIntoView({ behavior: "instant", block: "start" });
}
