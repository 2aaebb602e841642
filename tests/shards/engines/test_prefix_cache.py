"""The prefix cache stays within its bounds, and holds awaited parts before others."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shards.engines.prefix_cache import PrefixCache
from shards.pairs import Part, Prefix


@dataclass(frozen=True)
class States:
    nbytes: int


def part(name: int) -> Part:
    return Part(0, (name,))


def prefix(*names: int) -> Prefix:
    """Return a prefix of parts of one token each."""
    return Prefix(names, tuple(range(1, len(names) + 1)))


def test_the_part_that_was_used_last_stays() -> None:
    cache = PrefixCache(30)
    first, second, third = (States(10) for _ in range(3))
    for name, states in enumerate((first, second, third)):
        cache.put(part(name), states)
    assert cache.get(part(0)) is first
    cache.put(part(3), States(15))
    assert [cache.get(part(name)) is not None for name in range(4)] == [True, False, False, True]


def test_a_part_over_the_bound_is_not_cached_and_evicts_nothing() -> None:
    cache = PrefixCache(10)
    cache.put(part(1), States(10))
    cache.put(part(2), States(11))
    assert cache.get(part(1)) is not None
    assert cache.get(part(2)) is None


def test_a_bound_of_zero_keeps_nothing() -> None:
    cache = PrefixCache(0)
    cache.put(part(1), States(1))
    assert (len(cache), cache.held_bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=60))
def test_the_bound_holds_whatever_comes(kept: list[tuple[int, int]]) -> None:
    cache = PrefixCache(100)
    sizes: dict[int, int] = {}
    for name, size in kept:
        if cache.get(part(name)) is None:
            sizes[name] = size
        cache.put(part(name), States(size))
        assert cache.held_bytes <= 100
        assert cache.held_bytes == sum(
            size for name, size in sizes.items() if cache.get(part(name)) is not None
        )
    cache.clear()
    assert (len(cache), cache.held_bytes) == (0, 0)


def test_awaited_parts_stay_beside_those_used_last() -> None:
    cache = PrefixCache(30)
    cache.set_awaited([prefix(1)])
    cache.put(part(1), States(25))
    for name in (2, 3, 4):
        cache.put(part(name), States(15))
    assert [name for name in range(5) if part(name) in cache] == [1, 3, 4]


def test_a_part_no_longer_awaited_counts_as_used_last() -> None:
    cache = PrefixCache(30)
    cache.put(part(2), States(15))
    cache.set_awaited([prefix(1)])
    cache.put(part(1), States(25))
    cache.release_others([])
    assert [name for name in (1, 2) if part(name) in cache] == [1]


def test_a_large_part_no_longer_awaited_is_dropped_and_evicts_nothing() -> None:
    cache = PrefixCache(30)
    cache.put(part(2), States(15))
    cache.set_awaited([prefix(1)])
    cache.put(part(1), States(31))
    assert part(1) in cache
    cache.release_others([])
    assert [name for name in (1, 2) if part(name) in cache] == [2]


def test_a_part_no_longer_awaited_stays_for_some_batches() -> None:
    cache = PrefixCache(30)
    cache.set_awaited([prefix(1)])
    cache.put(part(1), States(50))
    for name in (2, 3, 4, 5):
        cache.set_awaited([prefix(name)])
        cache.put(part(name), States(1))
        assert part(1) in cache
    cache.set_awaited([prefix(6)])
    assert part(1) not in cache


def test_a_part_awaited_again_meanwhile_stays() -> None:
    cache = PrefixCache(30)
    for name in (1, 2, 3, 4, 1, 5, 6, 7, 8):
        cache.set_awaited([prefix(name)])
        cache.put(part(name), States(50 if name == 1 else 10))
        assert part(1) in cache
    cache.release_others([prefix(1)])
    assert part(1) in cache
    cache.release_others([])
    assert part(1) not in cache


def test_a_cached_part_that_is_awaited_now_stays() -> None:
    cache = PrefixCache(30)
    cache.put(part(1), States(20))
    cache.set_awaited([prefix(1)])
    cache.put(part(2), States(30))
    assert [name for name in (1, 2) if part(name) in cache] == [1, 2]


def test_one_awaited_prefix_stays_whole_however_large() -> None:
    cache = PrefixCache(1)
    cache.set_awaited([prefix(1, 2), prefix(3)])
    cache.put(part(3), States(50))
    for long in prefix(1, 2).parts:
        cache.put(long, States(100))
    assert part(3) not in cache
    assert all(long in cache for long in prefix(1, 2).parts)
    cache.set_awaited([prefix(1, 2), prefix(3)])
    assert cache.held_bytes == 200


_NAMES = st.lists(st.integers(0, 9), max_size=4)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 700), _NAMES), max_size=60))
def test_both_bounds_hold_whatever_comes_and_is_awaited(
    kept: list[tuple[int, int, list[int]]],
) -> None:
    cache = PrefixCache(100)
    for name, size, awaited in kept:
        cache.set_awaited([prefix(other) for other in awaited])
        cache.put(part(name), States(size))
        awaited_bytes, other_bytes = (
            [states.nbytes for states in shelf.states.values()]
            for shelf in (cache._awaited, cache._others)
        )
        assert cache.held_bytes == sum(awaited_bytes) + sum(other_bytes)
        assert sum(awaited_bytes) <= 400 or len(awaited_bytes) == 1
        assert sum(other_bytes) <= 100
        assert name not in awaited or part(name) in cache
    cache.release_others([])
    assert cache.held_bytes <= 100
    cache.clear()
    assert (len(cache), cache.held_bytes) == (0, 0)


def test_awaited_parts_are_cached_again_after_all_were_dropped() -> None:
    cache = PrefixCache(10)
    cache.set_awaited([prefix(1)])
    cache.put(part(1), States(50))
    cache.clear()
    assert part(1) not in cache
    cache.put(part(1), States(50))
    assert part(1) in cache
