"""Confidence intervals of means."""

import math
import random

import pytest

from gateway.cli.measure.evaluation.bootstrap import intervals


def test_an_interval_is_as_wide_as_in_theory() -> None:
    rng = random.Random(7)
    column = [rng.gauss(5, 2) for _ in range(400)]
    ((low, high),) = intervals([column], seed=1)
    middle = sum(column) / len(column)
    spread = math.sqrt(sum((value - middle) ** 2 for value in column) / len(column))
    assert low < middle < high
    assert high - low == pytest.approx(2 * 1.96 * spread / math.sqrt(len(column)), rel=0.15)


def test_differences_are_paired() -> None:
    rng = random.Random(7)
    first = [rng.random() for _ in range(200)]
    second = [value + 0.01 for value in first]
    gains = [b - a for a, b in zip(first, second, strict=True)]
    wide, _, narrow = intervals([first, second, gains], seed=1)
    assert wide[1] - wide[0] > 0.05
    assert list(narrow) == pytest.approx([0.01, 0.01])


def test_a_seed_fixes_the_draw() -> None:
    column = [0.0, 1.0, 0.5, 0.25]
    assert intervals([column], seed=3) == intervals([column], seed=3)
    assert intervals([[0.5]], seed=3) == [(0.5, 0.5)]


@pytest.mark.parametrize("columns", [[], [[]], [[1.0], [1.0, 2.0]]])
def test_columns_must_fit(columns: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="a figure for each query"):
        intervals(columns, seed=1)
