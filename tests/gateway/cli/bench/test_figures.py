"""Figures of runs whose replies are made here."""

import pytest

from gateway.cli.bench.figures import Reply, figures, quantile


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile(range(1, 101), share) == value
    assert quantile([], share) == 0


def test_rates_count_successes_and_codes_count_all() -> None:
    replies = [Reply(0.0, 0.1 * n, 200, documents=3, tokens=30) for n in range(1, 11)]
    replies += [Reply(0.0, 9.0, 503), Reply(0.0, 9.0, 0)]
    found = figures(replies, 2.0)
    assert (found.requests, found.failed) == (12, 2)
    assert found.codes == {"200": 10, "503": 1, "no answer": 1}
    assert found.requests_per_second == 5
    assert found.documents_per_second == 15
    assert found.tokens_per_second == 150
    assert (found.p50_ms, found.p99_ms, found.longest_ms) == (500, 1000, 1000)
    assert found.mean_ms == 550


def test_a_run_without_replies_has_figures() -> None:
    found = figures([], 0.0)
    assert (found.requests, found.requests_per_second, found.p99_ms) == (0, 0, 0)
