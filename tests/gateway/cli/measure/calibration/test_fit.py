"""The map from margins to probabilities."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.measure.calibration.fit import FEWEST, CannotCalibrate, fit, held_out
from gateway.domain.request import Calibration, sigmoid

TRUE = Calibration(0.6, -1.5)


def drawn(count: int, truth: Calibration = TRUE) -> tuple[list[float], list[bool]]:
    """Return margins, and labels drawn with the probabilities of the true map."""
    rng = random.Random(11)
    margins = [rng.gauss(1, 4) for _ in range(count)]
    return margins, [rng.random() < truth.score(margin) for margin in margins]


def test_the_true_map_of_the_labels_is_found() -> None:
    found = fit(*drawn(5000))
    assert found.slope == pytest.approx(TRUE.slope, abs=0.05)
    assert found.intercept == pytest.approx(TRUE.intercept, abs=0.15)


def test_temperature_leaves_the_intercept_at_0() -> None:
    found = fit(*drawn(5000, Calibration(0.4, 0.0)), shifts=False)
    assert found.intercept == 0.0
    assert found.slope == pytest.approx(0.4, abs=0.03)


def test_it_is_the_best_map() -> None:
    """At the minimum of the loss, predictions sum up to Platt's targets."""
    margins, labels = drawn(400)
    found = fit(margins, labels)
    relevant = sum(labels)
    high, low = (relevant + 1) / (relevant + 2), 1 / (len(labels) - relevant + 2)
    errors = [
        found.score(margin) - (high if label else low)
        for margin, label in zip(margins, labels, strict=True)
    ]
    assert sum(errors) == pytest.approx(0, abs=1e-6)
    assert sum(e * m for e, m in zip(errors, margins, strict=True)) == pytest.approx(0, abs=1e-5)


def test_labels_that_a_threshold_separates_give_a_finite_slope() -> None:
    margins = [float(number) for number in range(-20, 20)]
    found = fit(margins, [margin >= 0 for margin in margins])
    assert 0 < found.slope < 10
    assert found.score(-20) < 0.1 < 0.9 < found.score(19)


@given(st.lists(st.floats(-1e4, 1e4), min_size=40, max_size=40), st.randoms(use_true_random=False))
def test_an_order_never_changes(margins: list[float], rng: random.Random) -> None:
    labels = [rng.random() < sigmoid(margin / 100) for margin in margins]
    try:
        found = fit(margins, labels)
    except CannotCalibrate:
        return
    scores = [found.score(margin) for margin in sorted(margins)]
    assert scores == sorted(scores)
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize(
    ("margins", "labels", "words"),
    [
        ([float(i) for i in range(40)], [i < 20 for i in range(40)], "upside down"),
        ([1.0] * 40, [i < 20 for i in range(40)], "all margins are equal"),
        ([float("nan"), *map(float, range(39))], [i < 20 for i in range(40)], "is not finite"),
        ([1.0, 2.0], [True, False], f"at least {FEWEST} of each"),
        ([float(i) for i in range(40)], [True] * 40, "40 relevant pairs and 0 others"),
    ],
)
def test_pairs_that_support_no_map_are_refused(
    margins: list[float], labels: list[bool], words: str
) -> None:
    with pytest.raises(CannotCalibrate, match=words):
        fit(margins, labels)


def test_queries_are_held_out_as_a_whole() -> None:
    margins, labels = drawn(1000)
    groups = [index // 10 for index in range(1000)]
    scores = held_out(margins, labels, groups)
    assert scores is not None
    kept = [index for index in range(1000) if groups[index] % 5 != 3]
    other = fit([margins[index] for index in kept], [labels[index] for index in kept])
    assert scores[30] == other.score(margins[30])
    assert held_out(margins, labels, [0] * 1000) is None
