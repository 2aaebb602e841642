"""The history of requests, as `/status?history=` shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Counts = Sequence[int | None]
"""One count a step, the oldest first; null where the gateway did not watch (it was suspended)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFigures:
    """The figures of requests by step, since the gateway's start or for as long as `range`.

    The first step began at `first_time`, in seconds since the Unix epoch. Each has `step_seconds`,
    but for the last one, which is not over: `last_seconds` of it have passed. `model` is the name
    that the figures are of, null for all; `models` are the names that have a history.

    Requests count in the step in which they ended: all `requests`, `failures` (a status of 400 or
    more), `codes` by status, and the `documents` and `tokens` that were scored. `waiting` is the
    most jobs in the queue, `active` the most inside shards, of one look each second. `p50_ms` and
    `p95_ms` are the times of the requests that succeeded, from the first byte of the request to the
    last of the reply, within 2.5 percent; null where none did.
    """

    range: str
    model: str | None
    models: tuple[str, ...]
    first_time: float
    step_seconds: float
    last_seconds: float
    requests: Counts
    failures: Counts
    codes: Mapping[str, Counts]
    documents: Counts
    tokens: Counts
    waiting: Counts
    active: Counts
    p50_ms: Sequence[float | None]
    p95_ms: Sequence[float | None]
