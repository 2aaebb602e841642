"""Scores and their order."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import RerankResult, Scored, rank, sigmoid

margins = st.floats(allow_nan=False, width=32)


def scored(*values: float) -> tuple[Scored, ...]:
    return tuple(Scored(i, value, 2, truncated=False) for i, value in enumerate(values))


@pytest.mark.parametrize(
    ("margin", "score"),
    [
        (0.0, 0.5),
        (math.log(3), 0.75),
        (-math.log(3), 0.25),
        (1e30, 1.0),
        (-1e30, 0.0),
        (-800.0, 0.0),
        (math.inf, 1.0),
        (-math.inf, 0.0),
    ],
)
def test_sigmoid(margin: float, score: float) -> None:
    assert sigmoid(margin) == pytest.approx(score, abs=1e-15)
    assert Scored(0, margin, 1, truncated=False).relevance_score == sigmoid(margin)


@given(margins, margins)
def test_sigmoid_keeps_the_order(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0


def test_margins_decide_where_scores_are_equal() -> None:
    ranked = rank(scored(50.0, 60.0, 55.0), None)
    assert [one.index for one in ranked] == [1, 2, 0]
    assert len({one.relevance_score for one in ranked}) == 1


def test_ties_by_index() -> None:
    assert [one.index for one in rank(scored(1.0, 2.0, 1.0, 2.0), None)] == [1, 3, 0, 2]


@given(st.lists(margins, max_size=20), st.none() | st.integers(1, 30))
def test_rank(values: list[float], top_n: int | None) -> None:
    ranked = rank(scored(*values), top_n)
    assert len(ranked) == min(len(values), top_n or len(values))
    everything = rank(scored(*values), None)
    assert ranked == everything[: len(ranked)]
    assert sorted(one.index for one in everything) == list(range(len(values)))
    for one, after in pairwise(everything):
        assert (-one.margin, one.index) < (-after.margin, after.index)


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_totals(documents: int, units: int) -> None:
    all_scored = scored(*[0.0] * documents)
    result = RerankResult(
        id="1", model="m", scored=all_scored, top=all_scored, processing_seconds=0.0, created=0
    )
    assert result.tokens == 2 * documents
    assert result.search_units == units
