"""The rule of claims, by its numbers."""

import pytest

from gateway.serving.score_cache.stores.claim_rule import (
    MOST_PAIRS,
    Terms,
    lifetime,
    longest_wait,
    pause,
    pays,
)


@pytest.mark.parametrize(
    ("terms", "pairs", "answer_seconds", "expected"),
    [
        (Terms(0.1, 0.0, 30.0), 20, 0.001, True),
        (Terms(0.1, 0.0, 30.0), 0, 0.001, False),
        (Terms(0.0, 0.0, 30.0), 20, 0.001, False),  # the pace is not known yet
        (Terms(0.04, 9.0, 30.0), 20, 0.0, False),  # little to save, however long the queue
        (Terms(0.1, 0.0, 30.0), 20, 0.003, False),  # a slow store
        (Terms(0.1, 0.0, 30.0), MOST_PAIRS, 0.0, True),
        (Terms(9.0, 0.0, 30.0), MOST_PAIRS + 1, 0.0, False),
        (Terms(0.06, 0.0, 30.0), 80, 0.0, False),  # cheap pairs
        (Terms(0.5, 0.0, 0.6), 20, 0.0, False),  # probably late: others must not wait for it
        (Terms(0.1, 0.5, 0.6), 20, 0.0, False),
    ],
)
def test_claims_where_they_pay(
    terms: Terms, pairs: int, answer_seconds: float, expected: bool
) -> None:
    assert pays(terms, pairs, answer_seconds) is expected


def test_a_wait_is_no_longer_than_computing_and_leaves_time_for_it() -> None:
    assert longest_wait(Terms(1.0, 0.0, 30.0)) == 1.0
    assert longest_wait(Terms(1.0, 1.0, 30.0)) == 2.0
    assert longest_wait(Terms(1.0, 0.0, 2.0)) == pytest.approx(0.6)
    assert longest_wait(Terms(1.0, 0.0, 1.0)) == 0.0


def test_a_claim_lives_as_long_as_two_computations() -> None:
    assert lifetime(Terms(1.0, 2.0, 30.0)) == 6.0
    assert lifetime(Terms(100.0, 0.0, 300.0)) == 60.0


def test_the_looks_of_a_wait_are_bounded() -> None:
    assert pause(1.0) == 0.05
    assert pause(0.001) == 0.005
    assert pause(1000.0) == 0.25


def test_a_share_of_the_pairs_takes_its_share_of_the_time() -> None:
    assert Terms(1.0, 2.0, 30.0).of(0.25) == Terms(0.25, 2.0, 30.0)
