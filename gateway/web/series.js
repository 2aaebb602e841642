// Rates from successive looks at `/status`. Pure: the time is the gateway's own.

const KEPT = 150; // five minutes, at a look every two seconds

/** What was seen, as one list per figure; a look that failed is a gap (null). */
export class Series {
  constructor() {
    this.lists = { documents: [], tokens: [], p50: [], p95: [], queue: [] };
    this.last = null;
  }

  /** Takes a status, or null where none was to be had. */
  add(status) {
    const rates = status && this.last ? ratesBetween(this.last, status) : { documents: null, tokens: null };
    const seen = status ? { ...rates, ...presentOf(status) } : {};
    for (const [name, list] of Object.entries(this.lists)) {
      list.push(seen[name] ?? null);
      if (list.length > KEPT) list.shift();
    }
    this.last = status;
  }
}

/** Returns documents and tokens a second between two looks; null when the gateway was started between. */
export function ratesBetween(before, now) {
  const seconds = now.uptime_seconds - before.uptime_seconds;
  if (seconds <= 0) return { documents: null, tokens: null };
  const earlier = new Map(shardsOf(before).map((shard) => [shard.name, shard]));
  const rate = (figure) =>
    shardsOf(now).reduce((sum, shard) => sum + grown(earlier.get(shard.name)?.[figure] ?? 0, shard[figure]), 0) / seconds;
  return { documents: rate("documents"), tokens: rate("tokens") };
}

function grown(before, now) {
  return now >= before ? now - before : now; // a new edition counts from 0
}

function presentOf(status) {
  const shards = shardsOf(status);
  const jobs = [...status.models, ...shards].reduce((sum, one) => sum + one.queue, 0);
  const slowest = (figure) => Math.max(0, ...shards.map((shard) => shard[figure]));
  return { queue: jobs, p50: slowest("p50_ms"), p95: slowest("p95_ms") };
}

function shardsOf(status) {
  return status.models.flatMap((model) => model.shards);
}
