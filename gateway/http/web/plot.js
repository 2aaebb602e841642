// A line over time as SVG: as wide as its container, from 0 to the highest value.

import { drawing } from "./dom.js";

const WIDTH = 150;
const HEIGHT = 50;
const FEWEST = 30; // the fewest samples that span the whole width

/** Returns an empty plot, hidden from screen readers: its figures are in the text beside it. */
export function plot() {
  return drawing("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
}

/** Draws lists of numbers, the newest at the right; null is a gap. Returns the highest. */
export function draw(svg, ...lists) {
  const peak = Math.max(0, ...lists.flat().filter((value) => value !== null));
  const runs = lists.map((list) => pieces(list, peak || 1));
  const [first, ...others] = runs;
  svg.replaceChildren(
    ...first.map((points) => drawing("path", { class: "area", d: area(points) })),
    ...others.flat().map((points) => drawing("path", { class: "second", d: line(points) })),
    ...first.map((points) => drawing("path", { d: line(points) })),
  );
  return peak;
}

function pieces(list, peak) {
  const step = WIDTH / (Math.max(list.length, FEWEST) - 1);
  const found = [[]];
  list.forEach((value, place) => {
    if (value === null) found.push([]);
    else found.at(-1).push([WIDTH - (list.length - 1 - place) * step, HEIGHT - 1 - (value / peak) * (HEIGHT - 4)]);
  });
  return found.filter((points) => points.length);
}

function line(points) {
  const whole = points.length > 1 ? points : [[points[0][0] - 1, points[0][1]], points[0]];
  return `M${whole.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L")}`;
}

function area(points) {
  return `${line(points)}L${points.at(-1)[0].toFixed(2)} ${HEIGHT}L${points[0][0].toFixed(2)} ${HEIGHT}Z`;
}
