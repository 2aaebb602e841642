"""From answers to figures. Pure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    Attributes:
        started: when it was to be sent, in seconds since the start of the run.
        seconds: from then to the last byte of its answer.
        code: the HTTP status; 0 when the connection failed or nothing came in time.
        documents: how many were scored.
        tokens: how many tokens these had, as the reply says.
    """

    started: float
    seconds: float
    code: int
    documents: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """A run in numbers; latencies are of successes alone, in milliseconds."""

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
        """Requests that got no success."""
        return self.requests - self.codes.get("200", 0)


def figures(answers: Sequence[Answer], seconds: float) -> Figures:
    """Return the figures of a run that took so long."""
    good = [one for one in answers if one.code == 200]
    latencies = sorted(one.seconds for one in good)
    rate = 1 / seconds if seconds > 0 else 0.0
    codes = Counter("no answer" if one.code == 0 else str(one.code) for one in answers)
    return Figures(
        requests=len(answers),
        seconds=round(seconds, 3),
        requests_per_second=round(len(good) * rate, 2),
        documents_per_second=round(sum(one.documents for one in good) * rate, 2),
        tokens_per_second=round(sum(one.tokens for one in good) * rate, 1),
        mean_ms=_ms(sum(latencies) / len(latencies) if latencies else 0.0),
        p50_ms=_ms(quantile(latencies, 0.50)),
        p95_ms=_ms(quantile(latencies, 0.95)),
        p99_ms=_ms(quantile(latencies, 0.99)),
        longest_ms=_ms(latencies[-1] if latencies else 0.0),
        codes=dict(sorted(codes.items())),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of all is not above; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
