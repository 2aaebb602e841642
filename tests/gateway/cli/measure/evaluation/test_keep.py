"""Cascades computed from the rankings of their models."""

import pytest

from gateway.cli.measure.evaluation.figures import Figure
from gateway.cli.measure.evaluation.keep import (
    KeepFigures,
    TimedRun,
    cascade_orders,
    keeps_up_to,
    recommended,
    sweep,
    time_share,
)

LETTERS = "abcdefghijkl"
FIRST = TimedRun({"q": list(LETTERS)}, seconds=1.2)
SECOND = TimedRun({"q": list(reversed(LETTERS))}, seconds=12.0)


def test_the_second_model_orders_the_first_ones_best() -> None:
    assert cascade_orders(FIRST.orders, SECOND.orders, 3)["q"] == [*"cba", *"defghijkl"]
    assert cascade_orders(FIRST.orders, SECOND.orders, 12) == SECOND.orders
    assert cascade_orders({"q": ["a"], "lost": ["a"]}, {"q": ["a"]}, 1) == {"q": ["a"]}


@pytest.mark.parametrize(
    ("most", "keeps"),
    [(0, []), (5, []), (6, [5]), (100, [5, 10, 20, 50]), (101, [5, 10, 20, 50, 100])],
)
def test_each_keep_is_below_the_most_candidates(most: int, keeps: list[int]) -> None:
    assert list(keeps_up_to(most)) == keeps


def test_time_is_that_of_both_models_beyond_keep_documents() -> None:
    assert time_share(FIRST, SECOND, 6) == pytest.approx((1.2 + 6.0) / 12.0)
    assert time_share(FIRST, SECOND, 12) == 1.0
    assert time_share(FIRST, TimedRun({}, 0.0), 5) == 0.0


def test_figures_are_those_of_the_cascade_less_the_second_model() -> None:
    (five, ten) = sweep(FIRST, SECOND, {"q": {"l": 1}}, seed=1)
    assert (five.keep, ten.keep) == (5, 10)
    # The second model has the relevant document first, the first model has it last.
    assert five.ndcg.mean == 0.0 and five.less_second.mean == -1.0
    (five, _) = sweep(FIRST, SECOND, {"q": {"e": 1}}, seed=1)
    assert five.ndcg.mean == 1.0 and five.less_second.mean > 0


def test_the_least_keep_within_the_tolerance_is_recommended() -> None:
    def figures(keep: int, loss: float) -> KeepFigures:
        return KeepFigures(keep, Figure(0.8, 0.7, 0.9), Figure(-loss, -loss, -loss), 0.5)

    losses = {5: 0.02, 10: 0.004, 20: 0.0}
    assert recommended([figures(*each) for each in losses.items()]) == 10
    assert recommended([figures(5, 0.02)]) is None
    assert recommended([]) is None
