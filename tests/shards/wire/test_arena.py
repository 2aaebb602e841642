"""The shared memory: spans never overlap, and the peer cannot shrink it."""

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.wire.arena import LONG_TEXT_TOKENIZER, Arena, Spans
from shards.wire.codecs import WireError

_SIZE = 64 * 1024


@given(st.lists(st.tuples(st.integers(1, 20_000), st.booleans()), max_size=60))
def test_spans_never_overlap_and_all_room_is_freed(steps: list[tuple[int, bool]]) -> None:
    spans = Spans(_SIZE)
    taken: dict[int, int] = {}
    for length, free_one_first in steps:
        if free_one_first and taken:
            offset = next(iter(taken))
            del taken[offset]
            spans.free(offset)
        fits = spans.fits(length)
        start = spans.take(length)
        assert fits == (start is not None)
        if start is not None:
            taken[start] = length
    edges = sorted((start, start + length) for start, length in taken.items())
    assert all(first[1] <= second[0] for first, second in pairwise(edges))
    assert all(start >= 4096 and end <= _SIZE for start, end in edges)
    for offset in taken:
        spans.free(offset)
    assert spans.take(_SIZE - 4096) == 4096


def test_both_sides_see_the_same_bytes_and_progress() -> None:
    ours = Arena.create(generation=7, size=_SIZE)
    theirs = Arena.attach(os.dup(ours.fd), generation=7)
    ours.write(4096, b"query")
    assert theirs.read(4096, 5) == b"query"
    theirs.batch_started((11, 12), now_ns=99, expected_ns=7)
    running = ours.progress()
    assert (running.started, running.done, running.started_ns, running.expected_ns) == (1, 0, 99, 7)
    assert (running.jobs, running.is_on_device) == ((11, 12), True)
    theirs.batch_advanced()
    advanced = ours.progress()
    assert (advanced.started, advanced.done, advanced.jobs, advanced.expected_ns) == (
        2,
        1,
        (11, 12),
        7,
    )
    assert advanced.is_on_device
    theirs.batch_done()
    assert (ours.progress().jobs, ours.progress().is_on_device) == ((), False)
    theirs.tokenizing(13)
    theirs.tokenizing(14, LONG_TEXT_TOKENIZER)
    assert (ours.progress().tokenized, ours.progress().tokenizing) == ((0, 0), (13, 14))
    theirs.tokenizing(0)
    assert (ours.progress().tokenized, ours.progress().tokenizing) == ((1, 0), (0, 14))
    theirs.close()
    ours.close()


def test_an_arena_of_another_generation_is_refused() -> None:
    arena = Arena.create(generation=1, size=_SIZE)
    with pytest.raises(WireError, match="this generation"):
        Arena.attach(arena.fd, generation=2)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (_SIZE - 1, 2), (2**40, 1)])
def test_nothing_outside_the_spans_is_read(offset: int, length: int) -> None:
    arena = Arena.create(generation=1, size=_SIZE)
    with pytest.raises(WireError, match="outside the arena"):
        arena.read(offset, length)


def test_the_peer_cannot_shrink_the_memory() -> None:
    arena = Arena.create(generation=1, size=_SIZE)
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 0)
