"""Counts, rate and latencies of a shard."""

from gateway.scheduling.accounting import Tally


def test_counts_and_latencies() -> None:
    tally = Tally()
    assert tally.latency_seconds(0.5, 0.95) == (0.0, 0.0)
    for place in range(100):
        tally.add(documents=2, tokens=10, seconds=place / 100, now=float(place))
    assert (tally.documents, tally.tokens) == (200, 1000)
    assert tally.latency_seconds(0.5, 0.95) == (0.5, 0.95)


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    tally = Tally()
    tally.add(documents=50, tokens=1, seconds=1.0, now=0.0)
    tally.add(documents=30, tokens=1, seconds=1.0, now=8.0)
    assert tally.documents_per_second(9.0) == 8.0
    assert tally.documents_per_second(12.0) == 3.0
    assert tally.documents_per_second(30.0) == 0.0
