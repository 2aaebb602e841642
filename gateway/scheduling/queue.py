"""The queue in which jobs wait for a replica of their model. Pure.

Callers take turns (start-time fair queueing: Goyal, Vin, Cheng 1996). Each has a clock of its own,
which advances by the tokens of each of its jobs over the caller's weight; the caller whose clock is
behind is next. A caller that returns starts at the time of the job served last. So a caller with
ten thousand queued jobs delays one with a single job by a job or two, and of two callers that
always have some, one with twice the weight is served twice the tokens. All callers without a key
are one caller.

The jobs of a caller have two classes: those of small requests go first, those of large ones in the
order they came, so that a search of twenty documents does not wait behind one of ten thousand.
After `_SMALL_IN_A_ROW` small ones a large one has its turn, so neither class can starve the other.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

from gateway.domain.request import Caller

_SMALL_IN_A_ROW = 8


class Queueable(Protocol):
    """The properties of a job by which it is queued."""

    @property
    def is_small(self) -> bool:
        """Its class."""
        ...

    @property
    def caller(self) -> Caller:
        """The caller whose turn it takes."""
        ...

    @property
    def tokens(self) -> int:
        """Its cost."""
        ...


Q = TypeVar("Q", bound=Queueable)


class FairQueue(Generic[Q]):
    """The queued jobs of one model."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[Q]] = {}  # by caller that has queued jobs
        self._clocks: dict[str, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[Q]:
        return chain.from_iterable(self._lanes.values())

    def join(self, queued: Q) -> None:
        caller = queued.caller.id
        if caller not in self._lanes:
            self._lanes[caller] = _Lane()
            self._clocks[caller] = max(self._now, self._clocks.get(caller, 0.0))
        self._lanes[caller].class_of(queued)[queued] = None

    def first(self) -> Q | None:
        """Return the next job, without removing it."""
        if not self._lanes:
            return None
        return self._lanes[min(self._lanes, key=self._clocks.__getitem__)].first()

    def served(self, queued: Q) -> None:
        """Remove a job that was handed to a replica."""
        caller = queued.caller
        self._now = self._clocks[caller.id]
        self._clocks[caller.id] += max(1, queued.tokens) / caller.weight
        self._lanes[caller.id].count(queued)
        self.leave(queued)

    def leave(self, queued: Q) -> None:
        """Remove a job that does not wait any more; do nothing if it is not queued."""
        lane = self._lanes.get(queued.caller.id)
        if lane is None or queued not in lane.class_of(queued):
            return
        del lane.class_of(queued)[queued]
        if not lane:
            del self._lanes[queued.caller.id]
            self._forget()

    def _forget(self) -> None:
        """Drop the clocks of callers without jobs that would start at the present time anyway."""
        if not self._lanes:
            self._now = 0.0
            self._clocks.clear()
        for caller in [caller for caller in self._clocks if caller not in self._lanes]:
            if self._clocks[caller] <= self._now:
                del self._clocks[caller]


class _Lane(Generic[Q]):
    """The queued jobs of one caller."""

    def __init__(self) -> None:
        self._small: OrderedDict[Q, None] = OrderedDict()
        self._large: OrderedDict[Q, None] = OrderedDict()
        self._small_in_a_row = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def __iter__(self) -> Iterator[Q]:
        yield from self._small
        yield from self._large

    def first(self) -> Q | None:
        large_has_its_turn = self._large and self._small_in_a_row >= _SMALL_IN_A_ROW
        jobs = self._large if large_has_its_turn or not self._small else self._small
        return next(iter(jobs), None)

    def count(self, queued: Q) -> None:
        """Note that a job of the lane was served."""
        self._small_in_a_row = self._small_in_a_row + 1 if queued.is_small else 0

    def class_of(self, queued: Q) -> OrderedDict[Q, None]:
        return self._small if queued.is_small else self._large
