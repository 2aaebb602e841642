"""Dispatch with real queues, supervisors and pipes; the tests hold the shards' ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.domain.job import Job
from gateway.scheduling.dispatch import Dispatch
from gateway.scheduling.quarantine import Quarantine
from gateway.supervision.canary_log import CanaryLog
from gateway.supervision.lifecycle import RestartPolicy, State, Times
from gateway.supervision.oom_kills import OomKills
from gateway.supervision.outlier_detection import EjectionPolicy
from gateway.supervision.supervisor import Supervisor
from shards.wire.facts import Facts
from shards.wire.messages import Ready, Score
from shards.wire.pipe import GatewayEnd, ShardEnd
from shards.wire.spec import ShardSpec
from tests.pipes import shard_end

_BUDGET = 1000
_READY = Ready(
    Facts(engine="fake", device="cpu", dtype="fp32", max_length=512, token_budget=_BUDGET)
)
_LONG_AGO = -1000.0


@dataclass(slots=True)
class Pool:
    """Ready replicas that never answer, and the queues before them."""

    dispatch: Dispatch
    shards: list[Supervisor]
    ends: list[ShardEnd]

    def queues(self) -> list[int]:
        return [shard.replica.queue for shard in self.shards]


def _supervisor(number: int) -> Supervisor:
    return Supervisor(
        ShardSpec(name=f"m/{number}", model="m", source="fake"),
        policy=RestartPolicy(),
        times=Times(),
        ejection=EjectionPolicy(),
        oom=OomKills(),
        canaries=CanaryLog(),
        accepts=lambda facts: "",
        on_change=lambda: None,
        on_suspects=lambda jobs: None,
    )


@pytest.fixture
def make_pool() -> Iterator[Callable[[int], Pool]]:
    """Return a function that makes a pool of replicas that have been ready for long."""
    made: list[Pool] = []

    def make(replicas: int) -> Pool:
        shards, ends = [_supervisor(number) for number in range(replicas)], []
        for shard in shards:
            pipe = GatewayEnd(generation=1)
            ends.append(shard_end(pipe, generation=1))
            ends[-1].send(_READY)
            shard.replica.attach(pipe)
            shard.replica.receive()
            shard.state = State.READY
            shard.outliers.record_start(time.monotonic() + _LONG_AGO)
        made.append(Pool(Dispatch(shards, Quarantine(b"key"), RuntimeError), shards, ends))
        return made[-1]

    yield make
    for pool in made:
        for shard, end in zip(pool.shards, pool.ends, strict=True):
            shard.replica.detach("the test is over")
            end.close()


def _job(tokens: int = 100) -> Job:
    return Job(
        payload=Score(
            job=0,
            deadline_ns=0,
            max_document_tokens=0,
            instruction="",
            queries=("q",),
            documents=("d",),
        ),
        tokens=tokens,
        text_bytes=2,
        wire_bytes=100,
        is_small=True,
    )


def _err(shard: Supervisor, times: int = 1, *, may_eject: bool = True) -> None:
    for _ in range(times):
        shard.outliers.record_error(
            shard.outliers.current_streak(), time.monotonic(), may_eject=may_eject
        )


async def test_equal_replicas_get_equal_shares(make_pool: Callable[[int], Pool]) -> None:
    pool = make_pool(2)
    for _ in range(60):
        pool.dispatch.join(_job())
    assert pool.queues() == [20, 20]  # two batches each
    assert len(pool.dispatch) == 20


async def test_a_job_is_sent_before_its_shard_can_begin(
    make_pool: Callable[[int], Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, entered = make_pool(1), list[float]()
    replica = pool.shards[0].replica
    submit = replica.submit

    def submit_noting_when(*args: Any) -> int | None:
        entered.append(time.monotonic())
        return submit(*args)

    monkeypatch.setattr(replica, "submit", submit_noting_when)
    queued = pool.dispatch.join(_job())
    assert queued.sent <= entered[0]


async def test_a_new_replica_gets_a_quarter_of_its_window(make_pool: Callable[[int], Pool]) -> None:
    pool = make_pool(2)
    pool.shards[0].outliers.record_start(time.monotonic())
    for _ in range(60):
        pool.dispatch.join(_job())
    new, old = pool.queues()
    assert old == 20
    assert 5 <= new <= 10  # up to three seconds of the ramp may have gone by


@pytest.mark.parametrize("replicas", [1, 2])
async def test_where_all_are_new_no_replica_is_slowed_down(
    make_pool: Callable[[int], Pool], replicas: int
) -> None:
    pool, now = make_pool(replicas), time.monotonic()
    for shard in pool.shards:
        shard.outliers.record_start(now)
    for _ in range(60):
        pool.dispatch.join(_job())
    assert pool.queues() == [20] * replicas


async def test_a_replica_that_fails_fast_does_not_attract_jobs(
    make_pool: Callable[[int], Pool],
) -> None:
    """It is idle again at once, and would always be the idlest."""
    pool = make_pool(2)
    _err(pool.shards[0], times=3, may_eject=False)
    for _ in range(4):
        pool.dispatch.join(_job())
    assert pool.queues() == [1, 3]


async def test_an_ejected_replica_gets_nothing(make_pool: Callable[[int], Pool]) -> None:
    pool = make_pool(2)
    _err(pool.shards[0], times=5)
    for _ in range(60):
        pool.dispatch.join(_job())
    assert pool.queues() == [0, 20]
    assert not pool.dispatch.has_other_than(pool.shards[1])


async def test_an_ejected_replica_gets_jobs_if_no_other_is_ready(
    make_pool: Callable[[int], Pool],
) -> None:
    pool = make_pool(2)
    _err(pool.shards[0], times=5)
    pool.shards[1].state = State.BACKOFF
    pool.dispatch.join(_job())
    assert pool.queues() == [1, 0]


async def test_a_probed_replica_gets_one_job_at_a_time(make_pool: Callable[[int], Pool]) -> None:
    pool = make_pool(2)
    outliers = pool.shards[0].outliers
    for _ in range(5):
        outliers.record_error(outliers.current_streak(), time.monotonic() - 11, may_eject=True)
    for _ in range(60):
        pool.dispatch.join(_job())
    assert pool.queues() == [1, 20]


async def test_a_second_opinion_comes_from_another_replica_and_first(
    make_pool: Callable[[int], Pool],
) -> None:
    pool = make_pool(2)
    for _ in range(45):
        pool.dispatch.join(_job())
    first, second = pool.shards
    queued = pool.dispatch.join(_job(), not_on=first)
    assert queued.assignment is None
    second.replica.detach("lost")
    pipe = GatewayEnd(generation=2)
    pool.ends[1].close()
    pool.ends[1] = shard_end(pipe, generation=2)
    pool.ends[1].send(_READY)
    second.replica.attach(pipe)
    second.replica.receive()
    pool.dispatch.serve()
    assert queued.assignment is not None
    assert queued.assignment[0] is second
    assert pool.queues() == [20, 6]  # this job, and the five that waited


@pytest.mark.parametrize(("replicas", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_at_most_half_are_ejected(
    make_pool: Callable[[int], Pool], replicas: int, out: int
) -> None:
    pool = make_pool(replicas)
    for shard in pool.shards:
        for _ in range(20):
            pool.dispatch.contradicted(shard, shard.outliers.current_streak())
    assert sum(shard.outliers.is_ejected(time.monotonic()) for shard in pool.shards) == out
