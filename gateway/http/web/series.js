// Rates from successive samples of `/status`. Pure: the time is the gateway's uptime.

const KEPT = 150; // five minutes of samples, one every two seconds

/** The samples, as one list per figure; a sample that failed is a gap (null). */
export class Series {
  constructor() {
    this.lists = { documents: [], tokens: [], p50: [], p95: [], queue: [] };
    this.last = null;
  }

  /** Adds a status, or null if it could not be read. */
  add(status) {
    const rates = status && this.last ? ratesBetween(this.last, status) : { documents: null, tokens: null };
    const sample = status ? { ...rates, ...presentOf(status) } : {};
    for (const [name, list] of Object.entries(this.lists)) {
      list.push(sample[name] ?? null);
      if (list.length > KEPT) list.shift();
    }
    this.last = status;
  }
}

/** Returns documents and tokens a second between two samples; null after a restart of the gateway. */
export function ratesBetween(before, now) {
  const seconds = now.uptime_seconds - before.uptime_seconds;
  if (seconds <= 0) return { documents: null, tokens: null };
  const earlier = new Map(shardsOf(before).map((shard) => [shard.name, shard]));
  const rate = (figure) =>
    shardsOf(now).reduce((sum, shard) => sum + grown(earlier.get(shard.name)?.[figure] ?? 0, shard[figure]), 0) / seconds;
  return { documents: rate("documents"), tokens: rate("tokens") };
}

function grown(before, now) {
  return now >= before ? now - before : now; // a new revision counts from 0
}

function presentOf(status) {
  const shards = shardsOf(status);
  const jobs = [...status.models, ...shards].reduce((sum, item) => sum + item.queue, 0);
  const slowest = (figure) => Math.max(0, ...shards.map((shard) => shard[figure]));
  return { queue: jobs, p50: slowest("p50_ms"), p95: slowest("p95_ms") };
}

function shardsOf(status) {
  return status.models.flatMap((model) => model.shards);
}
