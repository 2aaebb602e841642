// The lines of each panel, from the history in `/status?history=`. Pure.

const LEAST_SECONDS = 120; // the shortest time that a panel spans
const SHORTEST_STEP = 2; // of the last step, which is not over: rates of less time jump
const MOST_CODES = 5;
const KINDS = { 2: "good", 4: "warn", 5: "bad" };

/** The panels: name, unit, words for a panel without values, and the lines of a window. */
export const PANELS = [
  { name: "Requests by status", unit: "/s", empty: "no request in this time", lines: byCode },
  { name: "Failed requests", unit: "%", empty: "no request in this time", lines: failed },
  { name: "Time of a request", unit: "ms", empty: "no request succeeded in this time", lines: times },
  { name: "Jobs waiting and in shards", unit: "", whole: true, empty: "no look at the queue yet", lines: jobs },
  { name: "Documents scored", unit: "/s", empty: "no request in this time", lines: rateOf("documents") },
  { name: "Tokens read", unit: "/s", empty: "no request in this time", lines: rateOf("tokens") },
];

/** Returns the last so many seconds of a history: their bounds, the middles of their steps, and a reader of lists. */
export function windowOf(history, seconds) {
  const { first_time: first, step_seconds: step, last_seconds: last, requests } = history;
  const end = first + (requests.length - 1) * step + last;
  const lengths = requests.map((_, place) => (place === requests.length - 1 ? last : step));
  const shown = lengths
    .map((length, place) => ({ length, place, middle: first + place * step + length / 2 }))
    .filter(({ length, middle }) => length >= SHORTEST_STEP && middle >= end - seconds);
  return {
    history,
    step,
    from: Math.min(Math.max(end - seconds, first), end - LEAST_SECONDS),
    to: end,
    times: shown.map(({ middle }) => middle),
    read: (list) => shown.map(({ place }) => list[place]),
    rate: (list) => shown.map(({ place, length }) => (list[place] == null ? null : list[place] / length)),
  };
}

function byCode({ history, rate }) {
  const codes = Object.entries(history.codes)
    .map(([code, counts]) => ({ name: code, counts, sum: rate(counts).reduce((one, other) => one + other, 0) }))
    .filter(({ sum }) => sum > 0)
    .sort((one, other) => other.sum - one.sum);
  if (!codes.length) return [{ name: "all", kind: "good", values: rate(history.requests) }];
  const others = codes.splice(MOST_CODES);
  const shown = codes.sort((one, other) => one.name - other.name);
  if (others.length) shown.push({ name: "others", counts: others.map(({ counts }) => counts).reduce(added) });
  return dashed(shown.map(({ name, counts }) => ({ name, kind: KINDS[name[0]] ?? "quiet", values: rate(counts) })));
}

function failed({ history, read }) {
  const all = read(history.requests);
  const share = (first) => {
    const counts = Object.entries(history.codes).filter(([code]) => code[0] === first).map(([, list]) => read(list));
    const sums = counts.reduce(added, all.map(() => 0));
    return all.map((requests, place) => (requests ? (100 * sums[place]) / requests : null));
  };
  return [
    { name: "4xx", kind: "warn", values: share("4") },
    { name: "5xx", kind: "bad", values: share("5") },
  ];
}

function times({ history, read }) {
  return [
    { name: "p95", kind: "good", values: read(history.p95_ms) },
    { name: "p50", kind: "quiet", dash: 1, values: read(history.p50_ms) },
  ];
}

function jobs({ history, read }) {
  return [
    { name: "waiting", kind: "good", values: read(history.waiting) },
    { name: "in shards", kind: "quiet", dash: 1, values: read(history.active) },
  ];
}

function rateOf(figure) {
  return ({ history, rate }) => [{ name: figure, kind: "good", values: rate(history[figure]) }];
}

/** Gives lines of one colour different dashes. */
function dashed(lines) {
  const seen = {};
  return lines.map((line) => ({ ...line, dash: (seen[line.kind] = (seen[line.kind] ?? -1) + 1) }));
}

function added(one, other) {
  return one.map((value, place) => (value == null || other[place] == null ? null : value + other[place]));
}
