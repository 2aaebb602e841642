"""Admission: requests that can be answered in time, and no more than the bound."""

from collections import deque

import pytest

from gateway.domain.request import ANONYMOUS, Caller
from gateway.scheduling.admission import Admission, AdmissionRequest, Rejection

_WINDOW = 2000


GREEDY, MODEST, THIRD = Caller("greedy"), Caller("modest"), Caller("third")


def _ask(
    tokens: int, *, is_small: bool = True, seconds: float = 10.0, caller: Caller = ANONYMOUS
) -> AdmissionRequest:
    return AdmissionRequest(
        tokens=tokens, is_small=is_small, remaining_seconds=seconds, caller=caller
    )


def _admission(tokens_per_second: float = 0.0, most_tokens: int = 1_000_000) -> Admission:
    admission = Admission(most_tokens)
    if tokens_per_second:
        admission.learn(int(tokens_per_second), 1.0)
    return admission


def _check(admission: Admission, request: AdmissionRequest, replicas: int = 1) -> Rejection | None:
    return admission.check(request, replicas=replicas, window_tokens=_WINDOW)


def test_the_first_request_is_never_refused() -> None:
    assert _check(_admission(1.0, most_tokens=1), _ask(1_000_000, seconds=0.001)) is None


def test_nothing_is_refused_for_its_time_before_the_rate_is_known() -> None:
    admission = _admission()
    admission.enter(_ask(100_000))
    assert _check(admission, _ask(100_000, seconds=0.001)) is None


def test_a_request_that_could_not_be_answered_in_time_is_refused() -> None:
    admission = _admission(tokens_per_second=1000)
    admission.enter(_ask(6000))
    assert _check(admission, _ask(1900)) is None
    refused = _check(admission, _ask(5000))
    assert refused is not None
    assert refused.wait_seconds == pytest.approx(11.0)
    assert refused.retry_seconds == pytest.approx(3.0)


def test_more_replicas_admit_more() -> None:
    admission = _admission(tokens_per_second=1000)
    admission.enter(_ask(12_000))
    assert _check(admission, _ask(2000)) is not None
    assert _check(admission, _ask(2000), replicas=2) is None


def test_a_small_request_waits_for_small_ones_and_for_jobs_inside_shards() -> None:
    admission = _admission(tokens_per_second=1000)
    admission.enter(_ask(500_000, is_small=False))
    assert _check(admission, _ask(1000, is_small=False)) is not None
    assert _check(admission, _ask(1000)) is None
    assert _check(admission, _ask(8000)) is not None  # 2 s of the window and 8 s of its own


def test_the_bound_holds_whatever_the_deadline() -> None:
    admission = _admission(tokens_per_second=1000, most_tokens=10_000)
    admission.enter(_ask(9000))
    refused = _check(admission, _ask(5000, seconds=1e6))
    assert refused == Rejection(4.0, None, tokens=14_000, most_tokens=10_000)


def test_a_request_that_leaves_makes_room() -> None:
    admission = _admission(tokens_per_second=1000)
    large, small = _ask(50_000, is_small=False), _ask(9000)
    admission.enter(large)
    admission.enter(small)
    assert _check(admission, _ask(1000)) is not None
    admission.leave(small)
    assert _check(admission, _ask(1000)) is None
    admission.leave(large)
    assert admission.tokens == 0


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.parametrize("others", [True, False])
def test_a_caller_that_fills_the_queue_is_rejected_and_others_are_not(
    is_small: bool, others: bool
) -> None:
    admission = _admission(tokens_per_second=1000)
    while _check(admission, request := _ask(500, caller=GREEDY, is_small=others)) is None:
        admission.enter(request)
    assert admission.tokens >= 6000
    assert _check(admission, _ask(500, caller=GREEDY, is_small=others)) is not None
    assert _check(admission, _ask(1500, caller=MODEST, is_small=is_small)) is None
    assert _check(admission, _ask(6000, caller=MODEST, is_small=is_small)) is not None


def test_a_heavy_caller_waits_for_fewer_turns() -> None:
    admission = _admission(tokens_per_second=1000)
    admission.enter(_ask(50_000, caller=GREEDY))
    assert _check(admission, _ask(3100, caller=MODEST)) is not None
    assert _check(admission, _ask(3100, caller=Caller("heavy", weight=10.0))) is None


def test_other_callers_are_admitted_over_the_bound_up_to_twice() -> None:
    admission = _admission(tokens_per_second=1e9, most_tokens=10_000)
    admission.enter(_ask(10_000, caller=GREEDY))
    assert _check(admission, _ask(1, caller=GREEDY)) is not None
    assert _check(admission, _ask(5001, caller=MODEST)) is not None
    admission.enter(_ask(5000, caller=MODEST))
    assert _check(admission, _ask(1, caller=MODEST)) is not None
    for number in range(1000):
        request = _ask(100, caller=Caller(f"caller {number}"))
        if _check(admission, request) is None:
            admission.enter(request)
    assert 15_000 < admission.tokens <= 20_000


def test_a_caller_that_has_left_is_forgotten() -> None:
    admission = _admission(tokens_per_second=1000)
    mine, other = _ask(5000, caller=GREEDY), _ask(100_000, caller=MODEST)
    admission.enter(mine)
    admission.enter(other)
    assert _check(admission, _ask(1000, caller=GREEDY)) is not None
    admission.leave(other)
    assert _check(admission, _ask(1000, caller=GREEDY)) is None
    admission.leave(mine)
    assert admission.tokens == 0


@pytest.mark.parametrize("load", [0.5, 1.0, 2.0, 10.0])
def test_admitted_requests_are_answered_in_time(load: float) -> None:
    """One server gets requests evenly, at `load` times its capacity, with two seconds each."""
    rate, tokens, seconds = 10_000.0, 100, 2.0
    admission = _admission(tokens_per_second=rate)
    inside: deque[tuple[float, AdmissionRequest]] = deque()  # when done
    now = free_at = done = asked = late = 0.0
    while now < 20.0:
        while inside and inside[0][0] <= now:
            admission.leave(inside.popleft()[1])
        request = _ask(tokens, seconds=seconds)
        asked += 1
        if _check(admission, request) is None:
            admission.enter(request)
            free_at = max(free_at, now) + tokens / rate
            inside.append((free_at, request))
            done += 1
            late += free_at > now + seconds
        now += tokens / rate / load
    assert late == 0
    assert done >= 0.9 * min(asked, 20.0 * rate / tokens)
