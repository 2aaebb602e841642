"""Calibration error and log loss."""

import math

import pytest

from gateway.cli.measure.calibration.reliability import Bin, bins, calibration_error, log_loss

SCORES = [0.05, 0.0, 0.95, 1.0, 0.85]
LABELS = [False, True, True, True, False]


def test_bins_hold_the_pairs_of_a_tenth() -> None:
    low, high, highest = bins(SCORES, LABELS)
    assert low == Bin(2, 0.025, 0.5)
    assert high == Bin(1, 0.85, 0.0)
    assert (highest.pairs, highest.relevant) == (2, 1.0)
    assert highest.score == pytest.approx(0.975)


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    expected = 2 / 5 * 0.475 + 1 / 5 * 0.85 + 2 / 5 * 0.025
    assert calibration_error(SCORES, LABELS) == pytest.approx(expected)
    assert calibration_error([0.0, 1.0], [False, True]) == 0.0


def test_log_loss_is_finite_even_where_a_score_was_sure_and_wrong() -> None:
    assert log_loss([0.25, 0.5], [False, True]) == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2
    )
    assert 30 < log_loss([0.0], [True]) < 40
