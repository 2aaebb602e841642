"""Counts, quantiles and drift of scores."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import sigmoid
from gateway.telemetry.score_drift import RECENT, ScoreLog


def _log(*margins: float, truncated: int = 0, tied: int = 0) -> ScoreLog:
    log = ScoreLog()
    log.add(margins, truncated=truncated, tied=tied)
    return log


def _normal(seed: int, mean: float, count: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 2.0) for _ in range(count)]


def test_everything_is_zero_before_the_first_request() -> None:
    status = ScoreLog().status()
    assert (status.documents, status.p50, status.drift) == (0, 0.0, 0.0)
    assert (status.truncated_share, status.tied_share) == (0.0, 0.0)


def test_documents_are_counted() -> None:
    log = _log(1.0, 2.0, 3.0, truncated=2, tied=1)
    log.add([4.0], truncated=0, tied=0)
    status = log.status()
    assert (status.documents, status.truncated, status.tied) == (4, 2, 1)
    assert (status.truncated_share, status.tied_share) == (0.5, 0.25)


def test_quantiles_are_relevance_scores() -> None:
    status = _log(*(float(margin) for margin in range(-5, 6))).status()
    assert status.p10 == pytest.approx(sigmoid(-4.0), abs=1e-6)
    assert status.p50 == pytest.approx(0.5)
    assert status.p90 == pytest.approx(sigmoid(4.0), abs=1e-6)


def test_unchanged_scores_do_not_drift() -> None:
    log = _log(*_normal(1, -3.0, 5000))
    assert abs(log.status().drift) < 0.15


@pytest.mark.parametrize("shift", [-3.0, 3.0, 6.0])
def test_a_shift_is_measured_in_spreads_of_the_long_run(shift: float) -> None:
    log = _log(*_normal(1, -3.0, 5000))
    log.add(_normal(2, -3.0 + shift, RECENT), truncated=0, tied=0)
    assert log.status().drift == pytest.approx(shift / 2.7, rel=0.15)


def test_drift_needs_a_thousand_scores() -> None:
    log = _log(*[0.0] * RECENT)
    log.add([9.0] * (RECENT - 1), truncated=0, tied=0)
    assert log.status().drift == 0.0
    log.add([9.0], truncated=0, tied=0)
    assert log.status().drift > 10


def test_the_long_run_follows_new_scores() -> None:
    log = _log(*[0.0] * 150_000)
    log.add([5.0] * 400_000, truncated=0, tied=0)
    assert log.status().drift == 0.0


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32))))
def test_any_margins_have_ordered_quantiles(requests: list[list[float]]) -> None:
    log = ScoreLog()
    for margins in requests:
        log.add(margins, truncated=0, tied=0)
    status = log.status()
    assert 0 <= status.p10 <= status.p50 <= status.p90 <= 1
