"""Delays of retries, and the retry budget."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.client import Retries
from gateway.client.retries import Budget

JITTERS = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 2000), JITTERS)
def test_delays_grow_to_the_longest(attempts: int, jitter: float) -> None:
    retries = Retries(first_wait_seconds=0.2, longest_wait_seconds=10)
    wait = retries.wait_seconds(attempts, None, jitter)
    full = min(0.2 * 2.0 ** min(attempts - 1, 100), 10)
    assert full / 2 <= wait <= full


@given(st.integers(1, 10), st.floats(0, 1e6), JITTERS)
def test_a_delay_is_never_shorter_than_retry_after(
    attempts: int, retry_after: float, jitter: float
) -> None:
    wait = Retries(first_wait_seconds=0.2).wait_seconds(attempts, retry_after, jitter)
    assert retry_after <= wait <= retry_after + 0.2


@given(st.integers(0, 300))
def test_retries_are_a_fifth_of_the_requests_and_ten_more(requests: int) -> None:
    budget, retries = Budget(), 0
    for _ in range(requests):
        budget.earn()
        while budget.spend():
            retries += 1
    assert retries <= 10 + requests / 5
    assert retries >= min(requests, 1) * (10 + requests // 6 - 1)
