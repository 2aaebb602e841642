"""Splits lose no document, and merged replies equal the reply of one request."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.client.parts import merge, split
from gateway.client.wire import Reply, Scored
from gateway.domain.request import sigmoid

SIZES = st.lists(st.integers(0, 50), max_size=60)


@given(SIZES, st.integers(1, 10), st.integers(1, 60))
def test_parts_are_the_whole_within_the_limits(sizes: list[int], documents: int, size: int) -> None:
    parts = split(sizes, documents=documents, size=size)
    assert [index for part in parts for index in part] == list(range(len(sizes)))
    for part in parts:
        assert len(part) <= documents
        assert sum(sizes[index] for index in part) <= size or len(part) == 1
    assert all(parts) or sizes == []


@given(SIZES, st.integers(1, 10), st.integers(1, 60))
def test_no_part_could_have_taken_the_next_document(
    sizes: list[int], documents: int, size: int
) -> None:
    parts = split(sizes, documents=documents, size=size)
    for part, following in pairwise(parts):
        room = size - sum(sizes[index] for index in part)
        assert len(part) == documents or sizes[following.start] > room


def reply_of(margins: list[float], id: str) -> Reply:
    order = sorted(range(len(margins)), key=lambda index: (-margins[index], index))
    scored = tuple(Scored(index, margins[index]) for index in order)
    return Reply(scored, "m", 10 * len(margins), (id,), (f"warning of {id}",))


@given(st.lists(st.sampled_from([-3.0, 0.5, 40.0, 41.0, 700.0]), min_size=2), st.integers(1, 5))
def test_the_merged_order_is_that_of_the_margins_even_where_sigmoids_are_equal(
    margins: list[float], documents: int
) -> None:
    parts = split([1] * len(margins), documents=documents, size=1000)
    replies = [reply_of(margins[part.start : part.stop], str(part.start)) for part in parts]
    merged = merge(parts, replies)
    whole = sorted(range(len(margins)), key=lambda index: (-margins[index], index))
    assert [result.index for result in merged.scored] == whole
    assert [result.relevance_score for result in merged.scored] == [
        sigmoid(margins[i]) for i in whole
    ]
    assert merged.tokens == 10 * len(margins)
    assert merged.request_ids == tuple(str(part.start) for part in parts)
    assert len(merged.warnings) == len(parts)
