// Ticks and labels of the axes of a chart. Pure: times are seconds since the Unix epoch.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const TIME_STEPS = [
  ...[10, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 4, 6, 12].map((hours) => hours * HOUR),
];

/** Returns round values from 0 to the peak or above it; `whole` values have no fractions. */
export function valueTicks(peak, { most = 4, whole = false } = {}) {
  if (!(peak > 0)) return [0, 1];
  const rough = peak / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999), whole ? 1 : 0);
  const count = Math.max(1, Math.ceil((peak / step) * 0.999));
  return Array.from({ length: count + 1 }, (_, place) => Number((place * step).toPrecision(6)));
}

/** Returns at most so many full minutes or hours of local time between two times. */
export function timeTicks(from, to, most) {
  const step = TIME_STEPS.find((seconds) => (to - from) / seconds <= most) ?? TIME_STEPS.at(-1);
  const zone = new Date(from * 1000).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return found;
}

/** Returns a time as a label: seconds where ticks are that close, or the day where it may be another. */
export function timeLabel(time, { seconds = false, day = false } = {}) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false, ...(seconds && { second: "2-digit" }) };
  if (day) Object.assign(options, { day: "numeric", month: "short" });
  return new Date(time * 1000).toLocaleString("en-GB", options);
}

/** Returns a value with its unit: two to four digits, large ones as 12K, long times in seconds. */
export function valueLabel(value, unit) {
  if (value == null) return "–";
  if (unit === "ms" && value >= 1000) return valueLabel(value / 1000, "s");
  const large = value >= 10_000 ? { notation: "compact" } : {};
  const digits = value < 1 ? 2 : value >= 1000 && value < 10_000 ? 4 : 3;
  const written = value.toLocaleString("en", { maximumSignificantDigits: digits, ...large });
  return written + (unit === "/s" || !unit ? unit : `\u00a0${unit}`);
}
