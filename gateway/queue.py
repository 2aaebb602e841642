"""The line in which jobs wait for a replica of their model. Pure.

Two classes: jobs of small requests go first, jobs of large ones in the order they came, so that a
search of twenty documents does not wait behind one of ten thousand. After `_SMALL_IN_A_ROW` small
ones a large one has its turn, so neither class can starve the other.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

_SMALL_IN_A_ROW = 8


class Waiting(Protocol):
    """What can stand in line."""

    @property
    def is_small(self) -> bool:
        """Which class it belongs to."""
        ...


W = TypeVar("W", bound=Waiting)


class Line(Generic[W]):
    """The waiting jobs of one model."""

    def __init__(self) -> None:
        self._small: OrderedDict[W, None] = OrderedDict()
        self._large: OrderedDict[W, None] = OrderedDict()
        self._small_in_a_row = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def __iter__(self) -> Iterator[W]:
        yield from self._small
        yield from self._large

    def join(self, one: W) -> None:
        self._side(one)[one] = None

    def first(self) -> W | None:
        """Return who is next, without taking it out."""
        large_has_its_turn = self._small_in_a_row >= _SMALL_IN_A_ROW
        side = (
            self._large if not self._small or (large_has_its_turn and self._large) else self._small
        )
        return next(iter(side), None)

    def served(self, one: W) -> None:
        """Take out one that has got its replica."""
        self._small_in_a_row = self._small_in_a_row + 1 if one.is_small else 0
        self.leave(one)

    def leave(self, one: W) -> None:
        """Take out one that does not wait any more; harmless if it is out already."""
        self._side(one).pop(one, None)

    def _side(self, one: W) -> OrderedDict[W, None]:
        return self._small if one.is_small else self._large
