"""What a batch should take follows what batches took."""

from hypothesis import given
from hypothesis import strategies as st

from shards.pace import Pace


def test_nothing_is_expected_before_the_first_batch() -> None:
    assert Pace().expected_ns(1000) == 0


@given(st.integers(1, 10_000), st.integers(1, 10**10))
def test_the_first_batch_is_expected_again(tokens: int, ns: int) -> None:
    pace = Pace()
    pace.learn(tokens, ns)
    assert abs(pace.expected_ns(tokens) - ns) <= 1


def test_a_change_of_speed_is_learnt() -> None:
    pace = Pace()
    pace.learn(100, 1000)
    for _ in range(50):
        pace.learn(100, 8000)
    assert 7900 < pace.expected_ns(100) <= 8000
