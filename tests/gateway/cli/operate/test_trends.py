"""Rates between two looks, and their sparklines."""

from typing import Any

import pytest

from gateway.cli.operate.trends import KEPT_LOOKS, Trends, sparkline


def status(uptime: float, *, queue: int = 0, **documents: int) -> dict[str, Any]:
    """Return a status with a shard for each name; a document has ten tokens."""
    shards = [
        {"name": name, "documents": count, "tokens": 10 * count, "p95_ms": 2.0 * count, "queue": 1}
        for name, count in documents.items()
    ]
    return {"uptime_seconds": uptime, "models": [{"queue": queue, "shards": shards}]}


def trends_of(*looks: dict[str, Any] | None) -> Trends:
    trends = Trends()
    for look in looks:
        trends.add(look)
    return trends


def test_a_rate_is_growth_over_the_uptime_between() -> None:
    trends = trends_of(status(10, a=5, b=0), status(12, a=25, b=4, queue=3))
    assert list(trends.documents) == [None, 12.0]
    assert list(trends.tokens) == [None, 120.0]
    assert list(trends.p95_ms) == [10.0, 50.0]
    assert list(trends.queue) == [2, 5]
    assert {name: list(values) for name, values in trends.shards.items()} == {
        "a": [None, 10.0],
        "b": [None, 2.0],
    }


def test_a_look_without_answer_is_a_gap_and_so_is_the_rate_after_it() -> None:
    trends = trends_of(status(10, a=0), None, status(14, a=4), status(16, a=8))
    assert list(trends.documents) == [None, None, None, 2.0]
    assert list(trends.p95_ms) == [0.0, None, 8.0, 16.0]
    assert list(trends.shards["a"]) == [None, None, None, 2.0]


def test_a_restarted_gateway_has_no_rate_yet() -> None:
    assert list(trends_of(status(100, a=50), status(1, a=3)).documents) == [None, None]


def test_a_new_revision_counts_from_0_and_a_removed_shard_is_dropped() -> None:
    trends = trends_of(status(10, a=50, b=5), status(12, a=6))
    assert list(trends.documents) == [None, 3.0]
    assert set(trends.shards) == {"a"}


def test_a_gateway_without_shards_has_no_latency() -> None:
    assert list(trends_of(status(1)).p95_ms) == [None]


def test_only_so_many_looks_are_kept() -> None:
    assert len(trends_of(*(status(n, a=n) for n in range(KEPT_LOOKS + 5))).documents) == KEPT_LOOKS


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], "     "),
        ([0.0, 0.0], "   ▁▁"),
        ([None, 0.0, 3.5, 7.0], "  ▁▅█"),
        ([9.0, 1.0, 2.0, 3.0, 4.0, None], "▃▅▆█ "),
    ],
)
def test_bars_go_from_0_to_the_highest_value_shown(values: list[float | None], bars: str) -> None:
    assert sparkline(values, 5) == bars
