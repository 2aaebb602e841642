"""How much two models agree on the requests that both have scored lately. Pure, and of fixed size.

What is kept of a request are four numbers. Agreement is about order: margins of two models are not on one
scale. Latency is compared by the time that the devices computed, since the one model's jobs wait and the
other's only come when nothing else does.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from gateway.agreement import kendall_tau, overlap_at_k, top1

WINDOW = 1000
"""How many requests are the last ones."""

K = 10
"""Overlap is that of so many best documents."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One request that both models have scored.

    Attributes:
        tau: Kendall's tau-b; `None` where one of them scores all documents the same.
        top1: whether the best document is the same.
        overlap: the share of the best `K` that are the same; `None` where there are no more than `K`.
        seconds, shadow_seconds: how long the devices computed.
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
        ValueError: a margin is no number.
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
    """What the last requests say together; `None` where none of them says anything.

    `requests` are those in the window. `tau` and `overlap` are means, `top1` is a share, `latency_ratio`
    is how many times as long the shadow computed.
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

    def add(self, one: Compared) -> None:
        """Note a request; the oldest one is forgotten."""
        self._last.append(one)

    def agreement(self) -> Agreement:
        """Return what they say."""
        seconds = sum(one.seconds for one in self._last)
        return Agreement(
            requests=len(self._last),
            tau=_mean(one.tau for one in self._last),
            top1=_mean(one.top1 for one in self._last),
            overlap=_mean(one.overlap for one in self._last),
            latency_ratio=(
                round(sum(one.shadow_seconds for one in self._last) / seconds, 3)
                if seconds
                else None
            ),
        )


def is_chosen(percent: float, draw: Callable[[], float]) -> bool:
    """Return whether a request is one of so many percent; `draw` gives numbers evenly in [0, 1)."""
    return draw() * 100 < percent


def _mean(values: Iterable[float | None]) -> float | None:
    said = [float(value) for value in values if value is not None]
    return round(fmean(said), 4) if said else None
