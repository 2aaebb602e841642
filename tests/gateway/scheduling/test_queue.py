"""The queue: small before large, first come first served; no job starves, none is lost."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import ANONYMOUS, Caller
from gateway.scheduling.queue import FairQueue


@dataclass(eq=False)
class _Job:
    is_small: bool
    caller: Caller = ANONYMOUS
    tokens: int = 100


def _serve_all(queue: FairQueue[_Job]) -> list[_Job]:
    served = []
    while job := queue.first():
        queue.served(job)
        served.append(job)
    return served


def test_small_ones_go_first_in_order() -> None:
    large, first, second = _Job(False), _Job(True), _Job(True)
    queue: FairQueue[_Job] = FairQueue()
    for job in (large, first, second):
        queue.join(job)
    assert _serve_all(queue) == [first, second, large]


def test_a_large_one_has_its_turn_among_many_small_ones() -> None:
    queue: FairQueue[_Job] = FairQueue()
    large = [_Job(False) for _ in range(2)]
    for job in [*large, *(_Job(True) for _ in range(30))]:
        queue.join(job)
    served = _serve_all(queue)
    assert served.index(large[0]) == 8
    assert served.index(large[1]) == 17


def test_a_job_that_leaves_is_not_served() -> None:
    queue: FairQueue[_Job] = FairQueue()
    jobs = [_Job(True), _Job(True), _Job(False)]
    for job in jobs:
        queue.join(job)
    queue.leave(jobs[1])
    assert len(queue) == 2
    assert _serve_all(queue) == [jobs[0], jobs[2]]


def _many(caller: Caller, count: int, tokens: int = 100, *, is_small: bool = True) -> list[_Job]:
    return [_Job(is_small, caller, tokens) for _ in range(count)]


def _join(queue: FairQueue[_Job], jobs: list[_Job]) -> None:
    for job in jobs:
        queue.join(job)


GREEDY, MODEST = Caller("greedy"), Caller("modest")


@pytest.mark.parametrize("is_small", [True, False])
def test_a_greedy_caller_does_not_hold_up_another(is_small: bool) -> None:
    """Ten thousand jobs of one caller are queued before the first of another, small or large."""
    queue: FairQueue[_Job] = FairQueue()
    _join(queue, _many(GREEDY, 10_000))
    for _ in range(50):
        first = queue.first()
        assert first is not None
        queue.served(first)
    (job,) = _many(MODEST, 1, is_small=is_small)
    queue.join(job)
    assert job in _serve(queue, 2)


def test_small_jobs_of_one_do_not_overtake_the_turns_of_another() -> None:
    """The classes are within a caller: a flood of small requests is still only half of the work."""
    queue: FairQueue[_Job] = FairQueue()
    _join(queue, _many(GREEDY, 200, tokens=10))
    _join(queue, _many(MODEST, 5, tokens=100, is_small=False))
    served = _serve(queue, 55)
    assert sum(job.caller is MODEST for job in served) == 5


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0, 0.5])
@pytest.mark.parametrize("tokens", [1, 100, 300])
def test_turns_are_by_weight_and_tokens(weight: float, tokens: int) -> None:
    """Two callers that always wait get tokens by their weights, whatever the size of their jobs."""
    queue: FairQueue[_Job] = FairQueue()
    heavy = Caller("heavy", weight)
    _join(queue, [*_many(heavy, 3000, 100), *_many(MODEST, 3000, tokens)])
    got = Counter[str]()
    while max(got["heavy"], got["modest"]) < 3000:
        (job,) = _serve(queue, 1)
        got[job.caller.id] += job.tokens
    assert got["heavy"] / weight == pytest.approx(got["modest"], abs=100 / weight + tokens)


def test_a_caller_saves_no_turns_while_it_is_away() -> None:
    queue: FairQueue[_Job] = FairQueue()
    _join(queue, _many(GREEDY, 100))
    _serve(queue, 50)
    late = _many(MODEST, 50)
    _join(queue, late)
    served = _serve(queue, 20)
    assert sum(job.caller is MODEST for job in served) == 10


def test_no_caller_escapes_its_clock_by_leaving_the_queue() -> None:
    """A caller without a queued job between its jobs gets no more than one that always waits."""
    queue: FairQueue[_Job] = FairQueue()
    _join(queue, _many(MODEST, 100))
    got = Counter[str]()
    for _ in range(40):
        _join(queue, _many(GREEDY, 1, tokens=300))
        for job in _serve(queue, 1):
            got[job.caller.id] += job.tokens
        for job in list(queue):
            if job.caller is GREEDY:
                queue.leave(job)
    assert got["greedy"] <= got["modest"] + 300


def _serve(queue: FairQueue[_Job], count: int) -> list[_Job]:
    served = []
    for _ in range(count):
        job = queue.first()
        assert job is not None
        queue.served(job)
        served.append(job)
    return served


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 999), st.booleans())))
def test_all_are_served_once(kinds: list[tuple[bool, int, int, bool]]) -> None:
    queue: FairQueue[_Job] = FairQueue()
    jobs = []
    for is_small, number, tokens, serve in kinds:
        jobs.append(_Job(is_small, Caller(f"caller {number}", number + 0.5), tokens))
        queue.join(jobs[-1])
        if serve:
            jobs.remove(_serve(queue, 1)[0])
    served = _serve_all(queue)
    assert sorted(map(id, served)) == sorted(map(id, jobs))
    assert len(queue) == 0
