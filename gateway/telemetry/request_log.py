"""Counts and times of requests by model. Pure: monotonic seconds are passed in.

Requests are counted since the start. Times are those of the last successful requests: of at most
`MOST` within `WINDOW_SECONDS`, so that they vanish when no request comes.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.telemetry.request_figures import Figures, ModelFigures, Percentiles
from gateway.telemetry.status import ModelStatus

WINDOW_SECONDS = 300.0
MOST = 1024
"""The number of requests of a model whose times are kept."""

_FAILURE = 400


@dataclass(frozen=True, slots=True)
class _Times:
    """The times of one request that succeeded."""

    finished: float
    wait: float
    work: float
    total: float


class RequestLog:
    """Counts and times of the requests since the start, by public name."""

    def __init__(self) -> None:
        self._codes: dict[str, Counter[int]] = {}
        self._times: dict[str, deque[_Times]] = {}

    def add(
        self, name: str, code: int, *, wait: float, work: float, total: float, now: float
    ) -> None:
        """Count a request that has ended; times in seconds."""
        self._codes.setdefault(name, Counter())[code] += 1
        if code < _FAILURE:
            times = self._times.setdefault(name, deque(maxlen=MOST))
            times.append(_Times(now, wait, work, total))

    def figures(
        self,
        models: Sequence[ModelStatus],
        *,
        version: str,
        uptime_seconds: float,
        cached_scores: int,
        now: float,
    ) -> Figures:
        """Return the figures of the models, and of other names that requests came for."""
        served = {model.name: model for model in models}
        others = sorted(self._codes.keys() - served.keys())
        found = tuple(self._of(name, served.get(name), now) for name in (*served, *others))
        return Figures(
            version=version,
            uptime_seconds=uptime_seconds,
            window_seconds=WINDOW_SECONDS,
            requests=sum(each.requests for each in found),
            successes=sum(each.successes for each in found),
            failures=sum(each.failures for each in found),
            waiting=sum(each.waiting for each in found),
            active=sum(each.active for each in found),
            slots=sum(each.slots for each in found),
            free_slots=sum(each.free_slots for each in found),
            cached_scores=cached_scores,
            models=found,
        )

    def _of(self, name: str, model: ModelStatus | None, now: float) -> ModelFigures:
        codes = self._codes.get(name, Counter())
        failures = sum(count for code, count in codes.items() if code >= _FAILURE)
        since = now - WINDOW_SECONDS
        recent = [times for times in self._times.get(name, ()) if times.finished > since]
        shards = model.shards if model else ()
        return ModelFigures(
            name=name,
            requests=codes.total(),
            successes=codes.total() - failures,
            failures=failures,
            codes={str(code): codes[code] for code in sorted(codes)},
            recent=len(recent),
            wait_ms=percentiles([times.wait for times in recent]),
            work_ms=percentiles([times.work for times in recent]),
            total_ms=percentiles([times.total for times in recent]),
            waiting=model.queue if model else 0,
            active=sum(shard.queue for shard in shards),
            slots=sum(shard.slots for shard in shards),
            free_slots=sum(shard.free_slots for shard in shards),
        )


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Return percentiles by the nearest rank: each is the time of a request."""
    if not seconds:
        return Percentiles()
    ordered = sorted(seconds)

    def at(percent: int) -> float:
        rank = -(-percent * len(ordered) // 100)  # rounded up
        return round(1000 * ordered[rank - 1], 2)

    return Percentiles(p50=at(50), p95=at(95), p99=at(99))
