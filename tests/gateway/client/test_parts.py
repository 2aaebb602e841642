"""Splits lose no document, and merged replies equal the reply of one request."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.errors import InvalidRequest, ServerFault, Unavailable
from gateway.client.parts import merge, split, without_details
from gateway.client.wire import Details, Reply, Scored
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


def reply_of(margins: list[float], id: str, *, model: str = "m", stage: str = "") -> Reply:
    order = sorted(range(len(margins)), key=lambda index: (-margins[index], index))
    scored = tuple(
        Scored(index, calibrated(margins[index]), Details(margins[index], 1, False, 1, None, stage))
        for index in order
    )
    return Reply(scored, model, 10 * len(margins), (id,), (f"warning of {id}",))


def calibrated(margin: float) -> float:
    return sigmoid(0.5 * margin - 1)


@given(st.lists(st.sampled_from([-3.0, 0.5, 40.0, 41.0, 700.0]), min_size=2), st.integers(1, 5))
def test_the_merged_order_is_that_of_the_margins_even_where_scores_are_equal(
    margins: list[float], documents: int
) -> None:
    parts = split([1] * len(margins), documents=documents, size=1000)
    replies = [reply_of(margins[part.start : part.stop], str(part.start)) for part in parts]
    merged = merge(parts, replies)
    whole = sorted(range(len(margins)), key=lambda index: (-margins[index], index))
    assert [result.index for result in merged.scored] == whole
    assert [result.relevance_score for result in merged.scored] == [
        calibrated(margins[i]) for i in whole
    ]
    assert merged.tokens == 10 * len(margins)
    assert merged.request_ids == tuple(str(part.start) for part in parts)
    assert len(merged.warnings) == len(parts)


PARTS = [range(2), range(2, 4)]


def test_parts_of_different_models_have_no_common_order() -> None:
    replies = [reply_of([1.0, 2.0], "a"), reply_of([1.0, 2.0], "b", model="fallback")]
    with pytest.raises(Unavailable, match="fallback and m have scored parts"):
        merge(PARTS, replies)


@pytest.mark.parametrize("stage", ["large", "input-order"])
def test_parts_that_were_ranked_as_lists_have_no_common_order(stage: str) -> None:
    replies = [reply_of([1.0, 2.0], id, stage=stage) for id in "ab"]
    with pytest.raises(InvalidRequest, match="in one request"):
        merge(PARTS, replies)


def test_parts_without_details_have_no_order() -> None:
    replies = [without_details(reply_of([1.0, 2.0], id)) for id in "ab"]
    with pytest.raises(ServerFault, match="no details"):
        merge(PARTS, replies)
