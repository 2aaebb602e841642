"""Figures of a run from its replies. Pure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one request.

    Attributes:
        started: time at which it was due, in seconds since the start of the run.
        seconds: time from then to the last byte of the reply.
        code: HTTP status; 0 if the connection failed or no reply came in time.
        documents: number of documents that were scored.
        tokens: number of their tokens, as the reply reports.
    """

    started: float
    seconds: float
    code: int
    documents: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of a run; latencies are those of successes alone, in milliseconds."""

    requests: int
    seconds: float
    requests_per_second: float
    documents_per_second: float
    tokens_per_second: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    longest_ms: float
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Number of requests without success."""
        return self.requests - self.codes.get("200", 0)


def figures(replies: Sequence[Reply], seconds: float) -> Figures:
    """Return the figures of a run of so many seconds."""
    good = [reply for reply in replies if reply.code == 200]
    latencies = sorted(reply.seconds for reply in good)
    rate = 1 / seconds if seconds > 0 else 0.0
    codes = Counter("no answer" if reply.code == 0 else str(reply.code) for reply in replies)
    return Figures(
        requests=len(replies),
        seconds=round(seconds, 3),
        requests_per_second=round(len(good) * rate, 2),
        documents_per_second=round(sum(reply.documents for reply in good) * rate, 2),
        tokens_per_second=round(sum(reply.tokens for reply in good) * rate, 1),
        mean_ms=_ms(sum(latencies) / len(latencies) if latencies else 0.0),
        p50_ms=_ms(quantile(latencies, 0.50)),
        p95_ms=_ms(quantile(latencies, 0.95)),
        p99_ms=_ms(quantile(latencies, 0.99)),
        longest_ms=_ms(latencies[-1] if latencies else 0.0),
        codes=dict(sorted(codes.items())),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value with at least this share of all values up to it; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
