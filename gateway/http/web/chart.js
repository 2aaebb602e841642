// A chart of lines over time as SVG: axes with units, a legend, and the values at a time under the pointer.

import { drawing, element, setText } from "./dom.js";
import { timeLabel, timeTicks, valueLabel, valueTicks } from "./ticks.js";

const HEIGHT = 150;
const EDGE = { left: 52, right: 20, top: 10, bottom: 22 };
const TICK_WIDTH = 60; // of a label of time, with its room
const CLOSE_TICKS = 60; // seconds between ticks that are labelled with seconds
const NOTHING = { "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 };
const LONG = 3 * 3600; // seconds of a window whose times are shown with their day

/** One panel. It is as wide as its container, and drawn again when that changes. */
export class Chart {
  constructor({ name, unit, empty, whole = false }) {
    Object.assign(this, { name, unit, empty, whole, shown: null, at: null });
    this.svg = drawing("svg", { height: HEIGHT, "aria-hidden": "true" });
    this.tip = element("div", { class: "tip", hidden: true });
    this.plot = element("div", { class: "plot", role: "slider", tabindex: 0, "aria-label": `${name}, values by time`, ...NOTHING }, this.svg, this.tip);
    this.legend = element("ul", { class: "legend", "aria-label": `Legend of ${name}` });
    const heading = element("figcaption", {}, name, unit ? element("span", { class: "hint" }, ` ${unit}`) : null);
    this.node = element("figure", { class: "tile" }, heading, this.plot, this.legend);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.choose(null));
    this.plot.addEventListener("focus", () => this.at === null && this.choose(this.last));
    this.plot.addEventListener("blur", () => this.choose(null));
    this.plot.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /** Shows lines with one value for each of `times`; null is a gap. */
  show(lines, { times, from, to }) {
    const marked = this.at === null ? null : this.shown?.times[this.at];
    this.shown = { lines, times, from, to };
    this.at = marked == null ? null : nearest(times, marked);
    this.draw();
  }

  get last() {
    return this.shown?.times.length ? this.shown.times.length - 1 : null;
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!this.shown || !width) return; // it is not shown: its width comes with its view
    const { lines, from, to } = this.shown;
    const values = lines.flatMap((line) => line.values).filter((value) => value != null);
    const ticks = valueTicks(Math.max(0, ...values), { whole: this.whole });
    const room = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
    this.x = (time) => EDGE.left + ((time - from) / (to - from)) * room.width;
    this.y = (value) => EDGE.top + room.height * (1 - value / ticks.at(-1));
    this.svg.setAttribute("width", width);
    this.cursor = drawing("g", { class: "cursor" });
    this.svg.replaceChildren(
      ...ticks.flatMap((value) => this.row(value, width)),
      ...this.hours(room.width),
      ...lines.flatMap((line, place) => this.line(line, place === 0)),
      ...(values.length ? [] : [drawing("text", { class: "empty", x: EDGE.left + room.width / 2, y: HEIGHT / 2 - 6 }, this.empty)]),
      this.cursor,
    );
    this.legend.replaceChildren(...lines.map((line) => this.entry(line)));
    this.mark();
  }

  row(value, width) {
    const y = this.y(value);
    const label = drawing("text", { class: "value", x: EDGE.left - 6, y: y + 4 }, valueLabel(value, this.unit));
    return [drawing("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }), label];
  }

  hours(width) {
    const ticks = timeTicks(this.shown.from, this.shown.to, Math.max(1, Math.floor(width / TICK_WIDTH)));
    const seconds = ticks.length > 1 && ticks[1] - ticks[0] < CLOSE_TICKS;
    return ticks.flatMap((time) => [
      drawing("line", { class: "grid", x1: this.x(time), x2: this.x(time), y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }),
      drawing("text", { class: "time", x: this.x(time), y: HEIGHT - 5 }, timeLabel(time, { seconds })),
    ]);
  }

  line({ values, kind, dash = 0 }, isFirst) {
    const runs = pieces(values).map((run) => run.map((place) => [this.x(this.shown.times[place]), this.y(values[place])]));
    const written = (points) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
    const floor = HEIGHT - EDGE.bottom;
    const area = (points) => `${written(points)}L${points.at(-1)[0].toFixed(1)} ${floor}L${points[0][0].toFixed(1)} ${floor}Z`;
    const long = runs.filter((points) => points.length > 1);
    return [
      ...(isFirst ? long.map((points) => drawing("path", { class: "area", d: area(points), "data-kind": kind })) : []),
      ...long.map((points) => drawing("path", { class: "line", d: written(points), "data-kind": kind, "data-dash": dash })),
      ...runs.filter((points) => points.length === 1).map(([[cx, cy]]) => drawing("circle", { cx, cy, r: 2.2, "data-kind": kind })),
    ];
  }

  entry({ name, values, kind, dash = 0 }) {
    const known = values.filter((value) => value != null);
    const most = known.length ? `, max ${valueLabel(Math.max(...known), this.unit)}` : "";
    return element("li", {}, swatch(kind, dash), `${name} `, element("b", {}, valueLabel(values.at(-1), this.unit)), most);
  }

  // -- the values at one time ----------------------------------------------------------------------

  point(event) {
    if (!this.x || this.last === null) return;
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    this.choose(nearest(this.shown.times.map(this.x), x));
  }

  press(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.choose(null);
    if (!(event.key in moves) || this.last === null) return;
    event.preventDefault(); // the page would scroll
    this.choose(Math.min(this.last, Math.max(0, (this.at ?? this.last) + moves[event.key])));
  }

  choose(place) {
    this.at = place;
    this.mark();
  }

  mark() {
    if (!this.cursor) return;
    const place = this.at;
    this.describe(place ?? this.last);
    this.tip.hidden = place === null;
    this.cursor.replaceChildren();
    if (place === null) return;
    const { lines, times } = this.shown;
    const x = this.x(times[place]);
    this.cursor.append(
      drawing("line", { x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
      ...lines.filter(({ values }) => values[place] != null).map(({ values, kind }) => drawing("circle", { cx: x, cy: this.y(values[place]), r: 3, "data-kind": kind })),
    );
    const rows = lines.map(({ name, values, kind, dash = 0 }) => element("li", {}, swatch(kind, dash), `${name} `, element("b", {}, valueLabel(values[place], this.unit))));
    this.tip.replaceChildren(element("p", {}, this.time(place)), element("ul", {}, ...rows));
    const isRight = x > this.plot.clientWidth / 2; // the box stands at the side with more room
    this.tip.style.left = isRight ? "auto" : `${x + 12}px`;
    this.tip.style.right = isRight ? `${this.plot.clientWidth - x + 12}px` : "auto";
  }

  /** Writes the values for a screen reader. */
  describe(place) {
    const { lines, times } = this.shown;
    const values = lines.map(({ name, values: list }) => `${name} ${valueLabel(list[place], this.unit)}`);
    const described = { valuemin: 0, valuemax: Math.max(0, times.length - 1), valuenow: place ?? 0 };
    described.valuetext = place === null ? this.empty : `${this.time(place)}: ${values.join(", ")}`;
    for (const [name, value] of Object.entries(described)) this.plot.setAttribute(`aria-${name}`, value);
  }

  time(place) {
    const { times, from, to } = this.shown;
    return timeLabel(times[place], to - from > LONG ? { day: true } : { seconds: true });
  }
}

/** Returns the places of values, in runs without gaps. */
function pieces(values) {
  const runs = [[]];
  values.forEach((value, place) => (value == null ? runs.push([]) : runs.at(-1).push(place)));
  return runs.filter((run) => run.length);
}

/** Returns the place of the number that is nearest to another. */
function nearest(numbers, wanted) {
  let found = 0;
  numbers.forEach((number, place) => {
    if (Math.abs(number - wanted) < Math.abs(numbers[found] - wanted)) found = place;
  });
  return found;
}

function swatch(kind, dash) {
  const line = drawing("line", { class: "line", x1: 0, x2: 18, y1: 5, y2: 5, "data-kind": kind, "data-dash": dash });
  return drawing("svg", { class: "swatch", width: 18, height: 10, "aria-hidden": "true" }, line);
}
