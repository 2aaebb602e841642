"""The history of requests since the gateway's start, for all and by name. Pure.

Monotonic seconds are passed in. A request counts in the open step, of ten seconds. Steps that are
over are kept for an hour, and added up to minutes, which are kept for a day. The memory is bounded:
arrays for the steps of at most `MOST_NAMES` names, and of all requests together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

from gateway.telemetry.history_figures import Counts, HistoryFigures
from gateway.telemetry.history_steps import FAILURE, Ring, Step

STEP_SECONDS = 10
MOST_NAMES = 32


@dataclass(frozen=True, slots=True)
class Range:
    """A length of history: so many steps, each of so many steps of ten seconds."""

    steps: int
    tens: int

    @property
    def step_seconds(self) -> int:
        """The length of a step."""
        return self.tens * STEP_SECONDS


RANGES = {"hour": Range(360, 1), "day": Range(1440, 6)}
_DAY_SECONDS = 86_400


@dataclass(slots=True)
class _Track:
    """The history of one name: by range the step that is not over, and those that are."""

    seen: float
    open: dict[str, Step] = field(default_factory=lambda: {name: Step() for name in RANGES})
    rings: dict[str, Ring] = field(
        default_factory=lambda: {name: Ring(each.steps) for name, each in RANGES.items()}
    )

    def close(self, number: int, following: int) -> None:
        """End the open step of ten seconds, and with it the longer ones that it completes."""
        ended = self.open["hour"]
        for name, kept in RANGES.items():
            if name != "hour":
                self.open[name].join(ended)
            if number // kept.tens != following // kept.tens:
                self.rings[name].put(number // kept.tens, self.open[name])
                self.open[name] = Step()

    def step(self, name: str) -> Step:
        """Return the step of a range that is not over."""
        if name == "hour":
            return self.open[name]
        step = Step()
        step.join(self.open[name])
        step.join(self.open["hour"])
        return step


class History:
    """The steps of all requests, and of those that meant one name."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._number = 0  # of the open step of ten seconds
        self._all = _Track(started)
        self._tracks: dict[str, _Track] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names that have a history of their own."""
        return tuple(self._tracks)

    def add(
        self, name: str, code: int, *, documents: int, tokens: int, seconds: float, now: float
    ) -> None:
        """Count a request that has ended, and took so many seconds."""
        self._advance(now)
        for track in (self._all, self._track(name, now)):
            if track is not None:
                step = track.open["hour"]
                step.add(code, documents=documents, tokens=tokens, seconds=seconds)

    def look(self, jobs: Mapping[str, tuple[int, int]], now: float) -> None:
        """Take the jobs of each model: those in its queue, and those inside its shards."""
        self._advance(now)
        for name, (waiting, active) in jobs.items():
            if (track := self._track(name, now)) is not None:
                track.open["hour"].look(waiting, active)
        waiting = sum(waiting for waiting, _ in jobs.values())
        self._all.open["hour"].look(waiting, sum(active for _, active in jobs.values()))

    def figures(self, length: str, *, name: str | None, now: float, unix: float) -> HistoryFigures:
        """Return the steps of one of `RANGES`, the open one last.

        Args:
            length: the name of the range.
            name: one of `names`; None for all requests.
            now: monotonic seconds.
            unix: the same moment, in seconds since the Unix epoch.
        """
        self._advance(now)
        kept = RANGES[length]
        track = self._all if name is None else self._tracks[name]
        last = self._number // kept.tens
        over = range(max(0, last - kept.steps + 1), last)
        figures = track.rings[length].figures(over, track.step(length))
        codes = track.rings[length].codes(over, track.step(length))
        watched = [not math.isnan(documents) for documents in figures["documents"]]
        since = now - self._started
        return HistoryFigures(
            range=length,
            model=name,
            models=self.names,
            first_time=round(unix - since + over.start * kept.step_seconds, 3),
            step_seconds=float(kept.step_seconds),
            last_seconds=round(since - last * kept.step_seconds, 3),
            requests=_sums(codes.values(), watched),
            failures=_sums((codes[code] for code in codes if code >= FAILURE), watched),
            codes={str(code): _sums([counts], watched) for code, counts in codes.items()},
            documents=_counts(figures["documents"]),
            tokens=_counts(figures["tokens"]),
            waiting=_counts(figures["waiting"]),
            active=_counts(figures["active"]),
            p50_ms=_present(figures["p50"]),
            p95_ms=_present(figures["p95"]),
        )

    def _advance(self, now: float) -> None:
        """End the open step if it is over; steps without a look or a request become gaps."""
        number = int((now - self._started) // STEP_SECONDS)
        if number > self._number:
            for track in (self._all, *self._tracks.values()):
                track.close(self._number, number)
            self._number = number

    def _track(self, name: str, now: float) -> _Track | None:
        """Return the history of a name, a new one if there is room; None if there is none."""
        track = self._tracks.get(name)
        if track is None:
            if len(self._tracks) >= MOST_NAMES and not self._forget(now):
                return None
            track = self._tracks[name] = _Track(now)
        track.seen = now
        return track

    def _forget(self, now: float) -> bool:
        """Drop a name that has come up for the last time a day ago, if there is one."""
        name = min(self._tracks, key=lambda each: self._tracks[each].seen)
        is_old = self._tracks[name].seen <= now - _DAY_SECONDS
        if is_old:
            del self._tracks[name]
        return is_old


def _sums(lists: Iterable[Sequence[float]], watched: Sequence[bool]) -> Counts:
    """Return the sums of lists by step; null for a step that was not watched."""
    sums = [0.0] * len(watched)
    for counts in lists:
        sums = list(map(add, sums, counts))
    return [int(count) if seen else None for count, seen in zip(sums, watched, strict=True)]


def _counts(values: Sequence[float]) -> Counts:
    return [None if math.isnan(value) else int(value) for value in values]


def _present(values: Sequence[float]) -> Sequence[float | None]:
    return [None if math.isnan(value) else value for value in values]
