// One model's reply as a ranked list: bars, scores, margins, marks.

import { bringIntoView, element } from "./dom.js";

const SHOWN_AT_FIRST = 10;
const FEW = 2; // more, for which a button is not worth its place
const SHOWN_AT_ONCE = 100;
const LONG_TEXT = 300;
const AROUND = 120;

/** Returns the place of every document, from 1, by its index: first the results, then by score. */
export function placesOf(reply) {
  const places = new Map(reply.results.map((result, rank) => [result.index, rank + 1]));
  const rest = reply.scores.map((score, index) => ({ score, index })).filter(({ index }) => !places.has(index));
  rest.sort((a, b) => b.score - a.score || a.index - b.index);
  rest.forEach(({ index }) => places.set(index, places.size + 1));
  return places;
}

/**
 * Returns the list of a reply, folded. `before` has the places by the model that it is compared
 * with; `folds` collects the lists that are folded and unfolded together.
 */
export function ranking(reply, documents, before, folds) {
  const list = element("ol", { class: "ranking" });
  const total = reply.results.length;
  const atFirst = total > SHOWN_AT_FIRST + FEW ? SHOWN_AT_FIRST : total;
  const show = (count) => {
    const shown = list.children.length;
    const added = reply.results.slice(shown, count);
    list.append(...added.map((result, place) => row(result, shown + place + 1, documents[result.index], before)));
    list.replaceChildren(...[...list.children].slice(0, count));
  };
  show(atFirst);
  return total > atFirst ? [list, foldButtons({ list, show, atFirst, total }, folds)] : [list];
}

function foldButtons({ list, show, atFirst, total }, folds) {
  const more = element("button", { type: "button" });
  const fewer = element("button", { type: "button" }, `Show the first ${atFirst} only`);
  const fold = (count) => {
    show(count);
    const rest = total - list.children.length;
    more.textContent = rest > SHOWN_AT_ONCE ? `Show ${SHOWN_AT_ONCE} of ${rest.toLocaleString("en")} more` : `Show ${rest} more`;
    more.hidden = !rest;
    fewer.hidden = count === atFirst;
  };
  more.addEventListener("click", () => {
    const shown = list.children.length;
    folds.forEach((other) => other(shown + SHOWN_AT_ONCE));
    list.children[shown].tabIndex = -1; // the button may be gone, and the focus with it
    list.children[shown].focus();
  });
  fewer.addEventListener("click", () => {
    folds.forEach((other) => other(atFirst));
    more.focus({ preventScroll: true });
    bringIntoView(list.closest(".column"));
  });
  folds.push(fold);
  fold(atFirst);
  return element("div", { class: "row" }, more, fewer);
}

function row(result, place, text, before) {
  const { margin, tokens, truncated, passages } = result;
  const span = passages > 1 && result.span ? [result.span.start, result.span.end] : null; // one passage is the whole document
  const bar = element("span");
  bar.style.setProperty("--share", result.relevance_score);
  return element(
    "li",
    { class: "result", "data-index": result.index },
    element(
      "header",
      {},
      element("span", { class: "place" }, place),
      element("span", { class: "score", title: "relevance_score" }, result.relevance_score.toFixed(4)),
      before ? change(before.get(result.index) - place) : null,
      element("span", { class: "hint margin" }, `margin ${signed(margin)}`),
      passages > 1 ? element("span", { class: "tag quiet" }, `${passages} passages`) : null,
      truncated ? element("span", { class: "tag", title: `Only a part was read, in ${tokens} tokens` }, "truncated") : null,
      element("span", { class: "hint index" }, `#${result.index}`),
    ),
    element("div", { class: "bar", "aria-hidden": "true" }, bar),
    ...shownText(text, span),
  );
}

function change(places) {
  const count = Math.abs(places);
  const moved = `${count} ${count === 1 ? "place" : "places"}`;
  const [kind, mark, words] =
    places > 0 ? ["up", `▲ ${count}`, `${moved} higher`] : places < 0 ? ["down", `▼ ${count}`, `${moved} lower`] : ["same", "=", "same place"];
  return element(
    "span",
    { class: `change ${kind}`, title: words },
    element("span", { "aria-hidden": "true" }, mark),
    element("span", { class: "hidden" }, words),
  );
}

function shownText(text, span) {
  if (!text) return [element("p", { class: "text empty" }, "an empty document")];
  const points = [...text]; // spans count characters as Python does, not UTF-16 units
  const whole = () => parts(points, span, 0, points.length);
  const isLong = points.length > LONG_TEXT;
  const start = isLong && span ? Math.max(0, span[0] - AROUND) : 0;
  const shown = element("p", { class: isLong ? "text cut" : "text" }, ...parts(points, span, start, points.length));
  if (!isLong) return [shown];
  const more = element("button", { type: "button", class: "small more", "aria-expanded": "false" }, "Whole document");
  more.addEventListener("click", () => {
    const isOpen = shown.classList.toggle("cut");
    more.setAttribute("aria-expanded", String(!isOpen));
    more.textContent = isOpen ? "Whole document" : "Less";
    shown.replaceChildren(...(isOpen ? parts(points, span, start, points.length) : whole()));
  });
  return [shown, more];
}

function parts(points, span, start, end) {
  const text = (from, to) => points.slice(from, to).join("");
  const lead = start > 0 ? "… " : "";
  if (!span) return [lead + text(start, end)];
  const best = element("mark", { title: "The passage with the best score" }, text(span[0], span[1]));
  return [lead + text(start, span[0]), best, text(span[1], end)];
}

function signed(margin) {
  return `${margin < 0 ? "−" : "+"}${Math.abs(margin).toFixed(2)}`;
}
