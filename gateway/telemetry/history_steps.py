"""One step of the history of requests, and a ring of steps in bounded memory. Pure."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

FAILURE = 400
"""The lowest status of a failure."""

_GROWTH = math.log(1.05)
_SHORTEST, _LONGEST = 1e-5, 1e5
"""The bounds of a time in seconds, so that a step has at most 473 different ones."""

FIGURES = ("documents", "tokens", "waiting", "active", "p50", "p95")
"""The figures of a step beside its codes."""


class Step:
    """The figures of one step: the requests that ended in it, and the most jobs at a time."""

    __slots__ = ("active", "codes", "documents", "times", "tokens", "waiting")

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter()
        self.times: Counter[int] = Counter()
        self.documents = 0
        self.tokens = 0
        self.waiting: float = math.nan
        self.active: float = math.nan

    def add(self, code: int, *, documents: int, tokens: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.codes[code] += 1
        self.documents += documents
        self.tokens += tokens
        if code < FAILURE:
            self.times[_rounded(seconds)] += 1

    def look(self, waiting: float, active: float) -> None:
        """Keep the most jobs in the queue, and inside shards."""
        self.waiting = _most(self.waiting, waiting)
        self.active = _most(self.active, active)

    def join(self, later: "Step") -> None:
        """Add the figures of a later step."""
        self.codes.update(later.codes)
        self.times.update(later.times)
        self.documents += later.documents
        self.tokens += later.tokens
        self.look(later.waiting, later.active)

    def figures(self) -> tuple[float, ...]:
        """Return the figures in the order of `FIGURES`; times in milliseconds."""
        p50, p95 = self._percentiles(50, 95)
        return self.documents, self.tokens, self.waiting, self.active, p50, p95

    def _percentiles(self, *percents: int) -> Iterable[float]:
        """Yield percentiles by the nearest rank; the order is found once."""
        ordered, total = sorted(self.times.items()), self.times.total()
        for percent in percents:
            rank, passed, found = -(-percent * total // 100), 0, math.nan
            for place, count in ordered:
                passed += count
                if passed >= rank:
                    found = round(1000 * math.exp(place * _GROWTH), 2)
                    break
            yield found


class Ring:
    """The last steps of one name: so many, however long the gateway runs."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._last: int | None = None
        self._figures = {name: _filled(length, math.nan) for name in FIGURES}
        self._codes: dict[int, array[float]] = {}

    def put(self, number: int, step: Step) -> None:
        """Add a step that is over; steps that were left out since the last one are gaps."""
        skipped = 0 if self._last is None else min(number - self._last - 1, self.length)
        for gap in range(number - skipped, number):
            self._clear(gap % self.length)
        place = number % self.length
        self._clear(place)
        for name, value in zip(FIGURES, step.figures(), strict=True):
            self._figures[name][place] = value
        for code, count in step.codes.items():
            if code not in self._codes:
                self._codes[code] = _filled(self.length, 0.0)
            self._codes[code][place] = count
        self._last = number

    def figures(self, numbers: Sequence[int], open_step: Step) -> Mapping[str, list[float]]:
        """Return the figures of these steps, and of one behind them that is not over."""
        latest = dict(zip(FIGURES, open_step.figures(), strict=True))
        return {
            name: [*self._read(kept, numbers, math.nan), latest[name]]
            for name, kept in self._figures.items()
        }

    def codes(self, numbers: Sequence[int], open_step: Step) -> Mapping[int, list[float]]:
        """Return the requests of these steps, and of the one that is not over, by status."""
        found = {
            code: [*self._read(self._codes.get(code, ()), numbers, 0.0), open_step.codes[code]]
            for code in sorted({*self._codes, *open_step.codes})
        }
        return {code: counts for code, counts in found.items() if any(counts)}

    def _read(self, kept: Sequence[float], numbers: Sequence[int], absent: float) -> list[float]:
        last = -1 if self._last is None or not kept else self._last
        return [kept[each % self.length] if each <= last else absent for each in numbers]

    def _clear(self, place: int) -> None:
        for values in self._figures.values():
            values[place] = math.nan
        for values in self._codes.values():
            values[place] = 0.0


def _filled(length: int, value: float) -> "array[float]":
    return array("d", [value]) * length


def _rounded(seconds: float) -> int:
    return round(math.log(min(max(seconds, _SHORTEST), _LONGEST)) / _GROWTH)


def _most(one: float, other: float) -> float:
    """Return the larger one; NaN is a figure that is missing."""
    return other if math.isnan(one) or other > one else one
