"""Agreement of two models on the last requests that both have scored. Pure, and of fixed size.

Five numbers are kept of a request. Agreement is about order: margins of two models are not on one
scale. Latency is compared by the computing time of the devices, because the jobs of one model wait
in the queue, and those of its shadow run only when the shadow is idle.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from gateway.telemetry.rank_correlation import kendall_tau, overlap_at_k, top1

WINDOW = 1000
"""The number of requests that are kept."""

K = 10
"""The number of best documents that overlap is about."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One request that both models have scored.

    Attributes:
        tau: Kendall's tau-b; `None` if a model scores all documents the same.
        top1: whether the best document is the same.
        overlap: the share of the best `K` that are the same; `None` for at most `K` documents.
        seconds, shadow_seconds: computing time of the devices.
    """

    tau: float | None
    top1: bool
    overlap: float | None
    seconds: float
    shadow_seconds: float


def compared(
    margins: Sequence[float], shadows: Sequence[float], *, seconds: float, shadow_seconds: float
) -> Compared:
    """Compare the margins of two models for the same documents.

    Raises:
        ValueError: a margin is not a number.
    """
    return Compared(
        tau=kendall_tau(margins, shadows),
        top1=top1(margins, shadows),
        overlap=overlap_at_k(margins, shadows, K) if len(margins) > K else None,
        seconds=seconds,
        shadow_seconds=shadow_seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The agreement on all requests in the window; `None` where no request has the value.

    `requests` is their number. `tau` and `overlap` are means, `top1` is a share, `latency_ratio` is
    the computing time of the shadow divided by that of the model.
    """

    requests: int = 0
    tau: float | None = None
    top1: float | None = None
    overlap: float | None = None
    latency_ratio: float | None = None


class Window:
    """The last requests that two models have both scored."""

    def __init__(self, most: int = WINDOW) -> None:
        self._last: deque[Compared] = deque(maxlen=most)

    def add(self, request: Compared) -> None:
        """Add a request; a full window drops its oldest."""
        self._last.append(request)

    def agreement(self) -> Agreement:
        """Return the agreement on all of them."""
        seconds = sum(request.seconds for request in self._last)
        return Agreement(
            requests=len(self._last),
            tau=_mean(request.tau for request in self._last),
            top1=_mean(request.top1 for request in self._last),
            overlap=_mean(request.overlap for request in self._last),
            latency_ratio=(
                round(sum(request.shadow_seconds for request in self._last) / seconds, 3)
                if seconds
                else None
            ),
        )


def is_chosen(percent: float, draw: Callable[[], float]) -> bool:
    """Return True for a percentage of the calls; `draw` returns uniform numbers in [0, 1)."""
    return draw() * 100 < percent


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return round(fmean(known), 4) if known else None
