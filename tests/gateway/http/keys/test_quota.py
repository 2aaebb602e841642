"""Requests per minute and concurrent requests: the number that pass, and the errors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import TooManyAtOnce, TooManyRequests
from gateway.http.keys.quota import Bucket, Usage


def _usage(per_minute: int | None, now: float = 0.0) -> Usage:
    usage = Usage()
    usage.limit(per_minute, now)
    return usage


def _passes(usage: Usage, now: float) -> bool:
    try:
        usage.enter(None, now)
    except TooManyRequests:
        return False
    usage.leave()
    return True


@pytest.mark.parametrize("per_minute", [1, 2, 60, 6000])
def test_a_minute_may_be_used_at_once_and_comes_back_evenly(per_minute: int) -> None:
    usage = _usage(per_minute)
    assert sum(_passes(usage, 0.0) for _ in range(2 * per_minute)) == per_minute
    assert sum(_passes(usage, 60.0 / per_minute + 1e-6) for _ in range(10)) == 1
    assert sum(_passes(usage, 1e6) for _ in range(2 * per_minute)) == per_minute


@pytest.mark.parametrize("per_minute", [1, 7, 600])
def test_a_request_after_the_retry_after_passes(per_minute: int) -> None:
    usage = _usage(per_minute)
    while _passes(usage, 0.5):
        pass
    with pytest.raises(TooManyRequests) as refused:
        usage.enter(None, 0.5)
    seconds = refused.value.retry_after_seconds
    assert seconds is not None and seconds == math.ceil(60 / per_minute)
    assert _passes(usage, 0.5 + seconds)


@given(st.integers(1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_never_more_than_two_minutes_worth_in_a_minute(per_minute: int, gaps: list[float]) -> None:
    usage, now, passed = _usage(per_minute), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if _passes(usage, now):
            passed.append(now)
    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 2 * per_minute
    assert len(passed) <= per_minute * (1 + now / 60) + 1e-6


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket.full(60, now=100.0)
    while not bucket.take(100.0):
        pass
    assert bucket.take(0.0) > 0
    assert bucket.take(100.0) > 0
    assert bucket.take(101.5) == 0


def test_requests_at_a_time() -> None:
    usage = _usage(None)
    usage.enter(2, 0.0)
    usage.enter(2, 0.0)
    with pytest.raises(TooManyAtOnce, match="2 requests of this API key"):
        usage.enter(2, 0.0)
    usage.leave()
    usage.enter(2, 0.0)
    assert (usage.open, usage.requests) == (2, 3)


def test_a_refusal_by_one_limit_does_not_use_up_the_other() -> None:
    usage = _usage(2)
    usage.enter(1, 0.0)
    for _ in range(5):
        with pytest.raises(TooManyAtOnce):
            usage.enter(1, 0.0)
    usage.leave()
    usage.enter(1, 0.0)
    usage.leave()
    with pytest.raises(TooManyRequests):
        usage.enter(1, 0.0)
    assert usage.open == 0


def test_a_new_limit_does_not_reset_the_minute() -> None:
    usage = _usage(100)
    for _ in range(50):
        usage.enter(None, 0.0)
    usage.limit(10, 0.0)
    assert sum(_passes(usage, 0.0) for _ in range(100)) == 5
    usage.limit(10, 0.0)
    assert not _passes(usage, 0.0)
    usage.limit(None, 0.0)
    assert _passes(usage, 0.0)


def test_headers() -> None:
    usage = _usage(60)
    assert _usage(None).headers(0.0) == {}
    usage.enter(None, 0.0)
    usage.enter(None, 0.0)
    assert usage.headers(1000.5) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "2.000s",
        "x-ratelimit-reset": "1003",
    }
