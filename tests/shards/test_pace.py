"""What a batch should take follows what batches took."""

from hypothesis import given
from hypothesis import strategies as st

from shards.pace import Pace


def _pace(*batches: tuple[int, int]) -> Pace:
    pace = Pace()
    for tokens, ns in batches:
        pace.learn(tokens, ns)
    return pace


def test_nothing_is_expected_before_the_first_batch() -> None:
    assert Pace().expected_ns(1000) == 0


@given(st.integers(1, 10_000), st.integers(1, 10**10), st.integers(1, 10_000))
def test_no_batch_is_expected_to_be_faster_than_the_fastest(
    first: int, ns: int, next_: int
) -> None:
    assert _pace((first, ns)).expected_ns(next_) >= ns


def test_a_cost_per_token_is_learnt() -> None:
    pace = _pace(*[(tokens, 1000 + 5 * tokens) for tokens in (10, 1000, 100, 2000) * 20])
    for tokens in (100, 1000, 4000):
        true = 1000 + 5 * tokens
        assert 0.7 * true < pace.expected_ns(tokens) < 1.5 * true


def test_two_batches_tell_what_a_long_one_takes() -> None:
    """What a shard scores at its start must do for a document of the largest size."""
    pace = _pace((10, 1050), (200, 2000))
    assert pace.expected_ns(30_000) >= 0.8 * (1000 + 5 * 30_000)


def test_a_device_that_has_become_slower_is_believed() -> None:
    pace = _pace((100, 1000), *[(100, 8000)] * 100)
    assert pace.expected_ns(100) >= 8000
