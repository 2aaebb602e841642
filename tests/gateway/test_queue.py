"""The line: small before large, first come first served, nobody starves, nobody is lost."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.queue import Line


@dataclass(eq=False)
class _One:
    is_small: bool


def _serve_all(line: Line[_One]) -> list[_One]:
    served = []
    while one := line.first():
        line.served(one)
        served.append(one)
    return served


def test_small_ones_go_first_in_order() -> None:
    large, small_one, small_two = _One(False), _One(True), _One(True)
    line: Line[_One] = Line()
    for one in (large, small_one, small_two):
        line.join(one)
    assert _serve_all(line) == [small_one, small_two, large]


def test_a_large_one_has_its_turn_among_many_small_ones() -> None:
    line: Line[_One] = Line()
    large = [_One(False) for _ in range(2)]
    for one in [*large, *(_One(True) for _ in range(30))]:
        line.join(one)
    served = _serve_all(line)
    assert served.index(large[0]) == 8
    assert served.index(large[1]) == 17


def test_who_leaves_is_not_served() -> None:
    line: Line[_One] = Line()
    ones = [_One(True), _One(True), _One(False)]
    for one in ones:
        line.join(one)
    line.leave(ones[1])
    assert len(line) == 2
    assert _serve_all(line) == [ones[0], ones[2]]


@given(st.lists(st.booleans()))
def test_all_are_served_once(kinds: list[bool]) -> None:
    line: Line[_One] = Line()
    ones = [_One(is_small) for is_small in kinds]
    for one in ones:
        line.join(one)
    served = _serve_all(line)
    assert sorted(map(id, served)) == sorted(map(id, ones))
    assert len(line) == 0
