"""Scores, and the totals of a result."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import RerankResult, Scored, sigmoid

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
def test_sigmoid_keeps_the_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_totals(documents: int, units: int) -> None:
    all_scored = scored(*[0.0] * documents)
    result = RerankResult(
        id="1", model="m", scored=all_scored, top=all_scored, processing_seconds=0.0, created=0
    )
    assert result.tokens == 2 * documents
    assert result.search_units == units
