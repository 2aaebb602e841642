"""Rates and their course over time, from successive looks at `/status`. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
KEPT = 60
"""How many looks are remembered."""

Values = deque[float | None]


def _values() -> Values:
    return deque(maxlen=KEPT)


@dataclass(slots=True)
class Trends:
    """What the looks have shown, oldest first; None is a look that has no such figure.

    Attributes:
        documents: documents a second, of all shards, since the look before.
        tokens: tokens a second, likewise.
        p95_ms: of the slowest shard, over its last jobs.
        queue: jobs that wait in the gateway or are inside a shard.
        shards: documents a second by the name of the shard.
    """

    documents: Values = field(default_factory=_values)
    tokens: Values = field(default_factory=_values)
    p95_ms: Values = field(default_factory=_values)
    queue: Values = field(default_factory=_values)
    shards: dict[str, Values] = field(default_factory=dict)
    _last: Mapping[str, Any] | None = None

    def add(self, found: Mapping[str, Any] | None) -> None:
        """Take a status, or None where there was none to be had."""
        grown = _growth(self._last, found) if self._last and found else {}
        self._last = found
        shards = list(_shards(found)) if found else []
        documents, tokens = zip(*grown.values(), strict=True) if grown else ((), ())
        self.documents.append(sum(documents) if grown else None)
        self.tokens.append(sum(tokens) if grown else None)
        self.p95_ms.append(max((shard["p95_ms"] for shard in shards), default=None))
        self.queue.append(_queue(found, shards) if found else None)
        gone = self.shards.keys() - {shard["name"] for shard in shards}
        for name in gone if found else ():
            del self.shards[name]
        for name in {*self.shards, *(shard["name"] for shard in shards)}:
            rate = grown[name][0] if name in grown else None
            self.shards.setdefault(name, _values()).append(rate)


def sparkline(values: Iterable[float | None], width: int) -> str:
    """Return the newest values as bars, from nothing to the highest of them; a gap is a blank."""
    shown = list(values)[-width:]
    highest = max((value for value in shown if value is not None), default=0) or 1
    steps = len(BARS) - 1
    bars = (" " if value is None else BARS[round(value / highest * steps)] for value in shown)
    return "".join(bars).rjust(width)


def _growth(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return documents and tokens a second by shard; nothing if the gateway was started between."""
    seconds = now["uptime_seconds"] - before["uptime_seconds"]
    if seconds <= 0:
        return {}
    earlier = {shard["name"]: shard for shard in _shards(before)}
    return {
        shard["name"]: (
            _grown(earlier.get(shard["name"], {}), shard, "documents") / seconds,
            _grown(earlier.get(shard["name"], {}), shard, "tokens") / seconds,
        )
        for shard in _shards(now)
    }


def _grown(before: Mapping[str, Any], now: Mapping[str, Any], figure: str) -> int:
    """Return by how much a count has grown; a new edition counts from 0."""
    count: int = now[figure]
    earlier: int = before.get(figure, 0)
    return count - earlier if count >= earlier else count


def _shards(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model in found["models"]:
        yield from model["shards"]


def _queue(found: Mapping[str, Any], shards: Iterable[Mapping[str, Any]]) -> int:
    waiting = sum(model.get("queue", 0) for model in found["models"])
    return int(waiting + sum(shard["queue"] for shard in shards))
