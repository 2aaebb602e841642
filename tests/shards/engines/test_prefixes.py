"""What is kept of prefixes stays under its bound, and the last used is kept."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shards.engines.prefixes import Part, PrefixCache, parts_of
from shards.pairs import Prefix


@dataclass(frozen=True)
class States:
    nbytes: int


def part(name: int) -> Part:
    return Part(0, (name,))


def test_parts_build_on_each_other() -> None:
    prefix = Prefix((7, 8, 9, 9), (2, 4))
    assert list(parts_of(prefix)) == [Part(0, (7, 8)), Part(2, (7, 8, 9, 9))]
    assert [len(one) for one in parts_of(prefix)] == [2, 2]


def test_there_are_no_empty_parts() -> None:
    assert list(parts_of(Prefix((7, 8), (2, 2)))) == [Part(0, (7, 8))]
    assert list(parts_of(Prefix((), (0,)))) == []
    assert list(parts_of(None)) == []


def test_the_part_that_was_used_last_stays() -> None:
    cache = PrefixCache(30)
    first, second, third = (States(10) for _ in range(3))
    for name, states in enumerate((first, second, third)):
        cache.keep(part(name), states)
    assert cache.get(part(0)) is first
    cache.keep(part(3), States(15))
    assert [cache.get(part(name)) is not None for name in range(4)] == [True, False, False, True]


def test_what_is_larger_than_the_bound_is_not_kept_and_costs_nothing() -> None:
    cache = PrefixCache(10)
    cache.keep(part(1), States(10))
    cache.keep(part(2), States(11))
    assert cache.get(part(1)) is not None
    assert cache.get(part(2)) is None


def test_a_bound_of_zero_keeps_nothing() -> None:
    cache = PrefixCache(0)
    cache.keep(part(1), States(1))
    assert (len(cache), cache.held_bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=60))
def test_the_bound_holds_whatever_comes(kept: list[tuple[int, int]]) -> None:
    cache = PrefixCache(100)
    sizes: dict[int, int] = {}
    for name, size in kept:
        if cache.get(part(name)) is None:
            sizes[name] = size
        cache.keep(part(name), States(size))
        assert cache.held_bytes <= 100
        assert cache.held_bytes == sum(
            size for one, size in sizes.items() if cache.get(part(one)) is not None
        )
    cache.clear()
    assert (len(cache), cache.held_bytes) == (0, 0)
