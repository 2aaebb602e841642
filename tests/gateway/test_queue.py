"""The line: small before large, first come first served, nobody starves, nobody is lost."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import ANYONE, Caller
from gateway.queue import Line


@dataclass(eq=False)
class _One:
    is_small: bool
    caller: Caller = ANYONE
    tokens: int = 100


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


def _many(caller: Caller, count: int, tokens: int = 100, *, is_small: bool = True) -> list[_One]:
    return [_One(is_small, caller, tokens) for _ in range(count)]


def _join(line: Line[_One], ones: list[_One]) -> None:
    for one in ones:
        line.join(one)


GREEDY, MODEST = Caller("greedy"), Caller("modest")


@pytest.mark.parametrize("is_small", [True, False])
def test_a_greedy_caller_does_not_hold_up_another(is_small: bool) -> None:
    """Ten thousand jobs of one are in line when the other's first comes, small or large."""
    line: Line[_One] = Line()
    _join(line, _many(GREEDY, 10_000))
    for _ in range(50):
        first = line.first()
        assert first is not None
        line.served(first)
    (one,) = _many(MODEST, 1, is_small=is_small)
    line.join(one)
    assert one in _serve(line, 2)


def test_small_jobs_of_one_do_not_overtake_the_turns_of_another() -> None:
    """The classes are within a caller: a flood of small requests is still only half of the work."""
    line: Line[_One] = Line()
    _join(line, _many(GREEDY, 200, tokens=10))
    _join(line, _many(MODEST, 5, tokens=100, is_small=False))
    served = _serve(line, 55)
    assert sum(one.caller is MODEST for one in served) == 5


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0, 0.5])
@pytest.mark.parametrize("tokens", [1, 100, 300])
def test_turns_are_by_weight_and_tokens(weight: float, tokens: int) -> None:
    """Of two who always wait, each gets tokens as its weight has it, whatever size its jobs are."""
    line: Line[_One] = Line()
    heavy = Caller("heavy", weight)
    _join(line, [*_many(heavy, 3000, 100), *_many(MODEST, 3000, tokens)])
    got = Counter[str]()
    while max(got["heavy"], got["modest"]) < 3000:
        (one,) = _serve(line, 1)
        got[one.caller.id] += one.tokens
    assert got["heavy"] / weight == pytest.approx(got["modest"], abs=100 / weight + tokens)


def test_nobody_saves_turns_up_while_away() -> None:
    line: Line[_One] = Line()
    _join(line, _many(GREEDY, 100))
    _serve(line, 50)
    late = _many(MODEST, 50)
    _join(line, late)
    served = _serve(line, 20)
    assert sum(one.caller is MODEST for one in served) == 10


def test_nobody_escapes_the_clock_by_leaving_the_line() -> None:
    """A caller whose line is empty between its jobs gets no more than one that always waits."""
    line: Line[_One] = Line()
    _join(line, _many(MODEST, 100))
    got = Counter[str]()
    for _ in range(40):
        _join(line, _many(GREEDY, 1, tokens=300))
        for one in _serve(line, 1):
            got[one.caller.id] += one.tokens
        for one in list(line):
            if one.caller is GREEDY:
                line.leave(one)
    assert got["greedy"] <= got["modest"] + 300


def _serve(line: Line[_One], count: int) -> list[_One]:
    served = []
    for _ in range(count):
        one = line.first()
        assert one is not None
        line.served(one)
        served.append(one)
    return served


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 999), st.booleans())))
def test_all_are_served_once(kinds: list[tuple[bool, int, int, bool]]) -> None:
    line: Line[_One] = Line()
    ones = []
    for is_small, number, tokens, serve in kinds:
        ones.append(_One(is_small, Caller(f"caller {number}", number + 0.5), tokens))
        line.join(ones[-1])
        if serve:
            ones.remove(_serve(line, 1)[0])
    served = _serve_all(line)
    assert sorted(map(id, served)) == sorted(map(id, ones))
    assert len(line) == 0
