"""The figures of requests by model, as `/status` and `/metrics` show them in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Percentiles of a time in milliseconds; null when there is no request in the window."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """The figures of one model, cascade, or of the requests that meant none (`unknown`).

    `failures` are the requests with a status of 400 or more, `codes` counts by status; 499: the
    client left. `recent` requests are behind the percentiles: `wait_ms` is the longest wait of a
    job of the request, `work_ms` the computing time of all of them, `total_ms` the time from the
    first byte of the request to the last of the reply. `waiting` are jobs in the queue, `active`
    those inside shards. A ready shard has `slots` for two batches.
    """

    name: str
    requests: int = 0
    successes: int = 0
    failures: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    recent: int = 0
    wait_ms: Percentiles = field(default_factory=Percentiles)
    work_ms: Percentiles = field(default_factory=Percentiles)
    total_ms: Percentiles = field(default_factory=Percentiles)
    waiting: int = 0
    active: int = 0
    slots: int = 0
    free_slots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of all models, and their sums; percentiles are of the last `window_seconds`.

    `cached_scores` are in the memory of the score cache, which all models have in common.
    """

    version: str = ""
    uptime_seconds: float = 0.0
    window_seconds: float = 0.0
    requests: int = 0
    successes: int = 0
    failures: int = 0
    waiting: int = 0
    active: int = 0
    slots: int = 0
    free_slots: int = 0
    cached_scores: int = 0
    models: tuple[ModelFigures, ...] = ()
