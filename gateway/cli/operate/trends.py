"""Rates and their history, from successive looks at `/status`. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
KEPT_LOOKS = 60

Values = deque[float | None]


def _values() -> Values:
    return deque(maxlen=KEPT_LOOKS)


@dataclass(slots=True)
class Trends:
    """Figures of the last looks, oldest first; None where a look has no such figure.

    Attributes:
        documents: documents per second of all shards, since the look before.
        tokens: tokens per second, likewise.
        p95_ms: 95th percentile of the slowest shard, over its last jobs.
        queue: jobs that wait in the gateway or are inside a shard.
        shards: documents per second by the name of the shard.
    """

    documents: Values = field(default_factory=_values)
    tokens: Values = field(default_factory=_values)
    p95_ms: Values = field(default_factory=_values)
    queue: Values = field(default_factory=_values)
    shards: dict[str, Values] = field(default_factory=dict)
    _last: Mapping[str, Any] | None = None

    def add(self, status: Mapping[str, Any] | None) -> None:
        """Add the figures of a status; None for a look without an answer."""
        rates = _rates(self._last, status) if self._last and status else {}
        self._last = status
        shards = list(_shards(status)) if status else []
        documents, tokens = zip(*rates.values(), strict=True) if rates else ((), ())
        self.documents.append(sum(documents) if rates else None)
        self.tokens.append(sum(tokens) if rates else None)
        self.p95_ms.append(max((shard["p95_ms"] for shard in shards), default=None))
        self.queue.append(_queue(status, shards) if status else None)
        gone = self.shards.keys() - {shard["name"] for shard in shards}
        for name in gone if status else ():
            del self.shards[name]
        for name in {*self.shards, *(shard["name"] for shard in shards)}:
            rate = rates[name][0] if name in rates else None
            self.shards.setdefault(name, _values()).append(rate)


def sparkline(values: Iterable[float | None], width: int) -> str:
    """Return the newest values as bars, from 0 to the highest of them; a gap is a blank."""
    shown = list(values)[-width:]
    highest = max((value for value in shown if value is not None), default=0) or 1
    steps = len(BARS) - 1
    bars = (" " if value is None else BARS[round(value / highest * steps)] for value in shown)
    return "".join(bars).rjust(width)


def _rates(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return documents and tokens per second by shard; empty if the gateway was restarted."""
    seconds = now["uptime_seconds"] - before["uptime_seconds"]
    if seconds <= 0:
        return {}
    earlier = {shard["name"]: shard for shard in _shards(before)}
    return {
        shard["name"]: (
            _growth(earlier.get(shard["name"], {}), shard, "documents") / seconds,
            _growth(earlier.get(shard["name"], {}), shard, "tokens") / seconds,
        )
        for shard in _shards(now)
    }


def _growth(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> int:
    """Return the growth of a counter; the counters of a new revision start from 0."""
    count: int = now[name]
    earlier: int = before.get(name, 0)
    return count - earlier if count >= earlier else count


def _shards(status: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model in status["models"]:
        yield from model["shards"]


def _queue(status: Mapping[str, Any], shards: Iterable[Mapping[str, Any]]) -> int:
    waiting = sum(model.get("queue", 0) for model in status["models"])
    return int(waiting + sum(shard["queue"] for shard in shards))
