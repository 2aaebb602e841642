"""The line in which jobs wait for a replica of their model. Pure.

Callers take turns (start-time fair queueing: Goyal, Vin, Cheng 1996). Each has a clock of its own, which
goes on by the tokens of each of its jobs over the caller's weight, and whoever's clock is behind is next;
who has been away starts at the time of the one served last. So a caller with ten thousand jobs in line
holds one with a single job up by a job or two, and of two that always have some, one with twice the
weight is served twice the tokens. All who have no key are one caller.

Of one caller's jobs there are two classes: those of small requests go first, those of large ones in the
order they came, so that a search of twenty documents does not wait behind one of ten thousand. After
`_SMALL_IN_A_ROW` small ones a large one has its turn, so neither class can starve the other.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

from gateway.domain import Caller

_SMALL_IN_A_ROW = 8


class Waiting(Protocol):
    """What can stand in line."""

    @property
    def is_small(self) -> bool:
        """Which class it belongs to."""
        ...

    @property
    def caller(self) -> Caller:
        """Whose it is."""
        ...

    @property
    def tokens(self) -> int:
        """What it costs."""
        ...


W = TypeVar("W", bound=Waiting)


class Line(Generic[W]):
    """The waiting jobs of one model."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[W]] = {}  # of the callers that wait
        self._clocks: dict[str, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[W]:
        return chain.from_iterable(self._lanes.values())

    def join(self, one: W) -> None:
        caller = one.caller.id
        if caller not in self._lanes:
            self._lanes[caller] = _Lane()
            self._clocks[caller] = max(self._now, self._clocks.get(caller, 0.0))
        self._lanes[caller].side(one)[one] = None

    def first(self) -> W | None:
        """Return who is next, without taking it out."""
        if not self._lanes:
            return None
        return self._lanes[min(self._lanes, key=self._clocks.__getitem__)].first()

    def served(self, one: W) -> None:
        """Take out one that has got its replica."""
        caller = one.caller
        self._now = self._clocks[caller.id]
        self._clocks[caller.id] += max(1, one.tokens) / caller.weight
        self._lanes[caller.id].count(one)
        self.leave(one)

    def leave(self, one: W) -> None:
        """Take out one that does not wait any more; harmless if it is out already."""
        lane = self._lanes.get(one.caller.id)
        if lane is None or one not in lane.side(one):
            return
        del lane.side(one)[one]
        if not lane:
            del self._lanes[one.caller.id]
            self._forget()

    def _forget(self) -> None:
        """Drop the clocks of callers that are away and would start at the present time anyway."""
        if not self._lanes:
            self._now = 0.0
            self._clocks.clear()
        for caller in [one for one in self._clocks if one not in self._lanes]:
            if self._clocks[caller] <= self._now:
                del self._clocks[caller]


class _Lane(Generic[W]):
    """The waiting jobs of one caller."""

    def __init__(self) -> None:
        self._small: OrderedDict[W, None] = OrderedDict()
        self._large: OrderedDict[W, None] = OrderedDict()
        self._small_in_a_row = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def __iter__(self) -> Iterator[W]:
        yield from self._small
        yield from self._large

    def first(self) -> W | None:
        large_has_its_turn = self._small_in_a_row >= _SMALL_IN_A_ROW
        side = (
            self._large if not self._small or (large_has_its_turn and self._large) else self._small
        )
        return next(iter(side), None)

    def count(self, one: W) -> None:
        """Note that one of them is served."""
        self._small_in_a_row = self._small_in_a_row + 1 if one.is_small else 0

    def side(self, one: W) -> OrderedDict[W, None]:
        return self._small if one.is_small else self._large
