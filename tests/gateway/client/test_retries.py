"""When a retry is allowed, and how long it waits."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.client import Retries
from gateway.client.retries import Budget

CHANCES = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 2000), CHANCES)
def test_waits_grow_to_the_longest(tried: int, chance: float) -> None:
    retries = Retries(first_wait_seconds=0.2, longest_wait_seconds=10)
    wait = retries.wait_seconds(tried, None, chance)
    full = min(0.2 * 2.0 ** min(tried - 1, 100), 10)
    assert full / 2 <= wait <= full


@given(st.integers(1, 10), st.floats(0, 1e6), CHANCES)
def test_the_wait_is_never_shorter_than_the_server_asks(
    tried: int, asked: float, chance: float
) -> None:
    wait = Retries(first_wait_seconds=0.2).wait_seconds(tried, asked, chance)
    assert asked <= wait <= asked + 0.2


@given(st.integers(0, 300))
def test_retries_are_a_fifth_of_the_requests_and_ten_more(requests: int) -> None:
    budget, retries = Budget(), 0
    for _ in range(requests):
        budget.earn()
        while budget.spend():
            retries += 1
    assert retries <= 10 + requests / 5
    assert retries >= min(requests, 1) * (10 + requests // 6 - 1)
