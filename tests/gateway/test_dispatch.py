"""Who gets the next job: real lines, supervisors and pipes, with the shards' ends in the test's hands."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from gateway.canaries import Canaries
from gateway.dispatch import Dispatch
from gateway.job import Job
from gateway.lifecycle import RestartPolicy, State, Times
from gateway.oom import OomKills
from gateway.quarantine import Quarantine
from gateway.standing import EjectionPolicy
from gateway.supervisor import Supervisor
from shards.wire.messages import Ready
from shards.wire.pipe import GatewayEnd, ShardEnd
from shards.wire.spec import ShardSpec
from tests.pipes import shard_end

_BUDGET = 1000
_READY = Ready("fake", "cpu", "fp32", 1, 512, _BUDGET, "sigmoid", False, False, ())
_LONG_AGO = -1000.0


@dataclass(slots=True)
class Bench:
    """Ready replicas that never answer, and the lines in front of them."""

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
        canaries=Canaries(),
        on_change=lambda: None,
        on_suspects=lambda jobs: None,
    )


@pytest.fixture
def bench() -> Iterator[Callable[[int], Bench]]:
    """Make a bench with so many replicas that have been ready for long."""
    made: list[Bench] = []

    def make(replicas: int) -> Bench:
        shards, ends = [_supervisor(number) for number in range(replicas)], []
        for shard in shards:
            pipe = GatewayEnd(generation=1)
            ends.append(shard_end(pipe, generation=1))
            ends[-1].send(_READY)
            shard.replica.attach(pipe)
            shard.replica.receive()
            shard.state = State.READY
            shard.standing.started(time.monotonic() + _LONG_AGO)
        made.append(Bench(Dispatch(shards, Quarantine(b"key"), RuntimeError), shards, ends))
        return made[-1]

    yield make
    for one in made:
        for shard, end in zip(one.shards, one.ends, strict=True):
            shard.replica.detach("the test is over")
            end.close()


def _job(tokens: int = 100) -> Job:
    return Job(
        queries=("q",),
        documents=("d",),
        instruction="",
        max_document_tokens=0,
        tokens=tokens,
        text_bytes=2,
        wire_bytes=100,
        is_small=True,
        deadline_ns=0,
    )


def _err(shard: Supervisor, times: int = 1, *, may_eject: bool = True) -> None:
    for _ in range(times):
        shard.standing.erred(shard.standing.doubted(), time.monotonic(), may_eject=may_eject)


async def test_equal_replicas_get_equal_shares(bench: Callable[[int], Bench]) -> None:
    one = bench(2)
    for _ in range(60):
        one.dispatch.join(_job())
    assert one.queues() == [20, 20]  # two batches each
    assert len(one.dispatch) == 20


async def test_a_new_one_gets_a_quarter_of_its_window(bench: Callable[[int], Bench]) -> None:
    one = bench(2)
    one.shards[0].standing.started(time.monotonic())
    for _ in range(60):
        one.dispatch.join(_job())
    new, old = one.queues()
    assert old == 20
    assert 5 <= new <= 10  # up to three seconds of the ramp may have gone by


@pytest.mark.parametrize("replicas", [1, 2])
async def test_where_all_are_new_nobody_is_slowed_down(
    bench: Callable[[int], Bench], replicas: int
) -> None:
    one, now = bench(replicas), time.monotonic()
    for shard in one.shards:
        shard.standing.started(now)
    for _ in range(60):
        one.dispatch.join(_job())
    assert one.queues() == [20] * replicas


async def test_who_fails_fast_does_not_attract_work(bench: Callable[[int], Bench]) -> None:
    """It is idle at once, and would be the idlest for ever."""
    one = bench(2)
    _err(one.shards[0], times=3, may_eject=False)
    for _ in range(4):
        one.dispatch.join(_job())
    assert one.queues() == [1, 3]


async def test_who_is_left_out_gets_nothing(bench: Callable[[int], Bench]) -> None:
    one = bench(2)
    _err(one.shards[0], times=5)
    for _ in range(60):
        one.dispatch.join(_job())
    assert one.queues() == [0, 20]
    assert not one.dispatch.has_other_than(one.shards[1])


async def test_unless_no_other_is_ready(bench: Callable[[int], Bench]) -> None:
    one = bench(2)
    _err(one.shards[0], times=5)
    one.shards[1].state = State.BACKOFF
    one.dispatch.join(_job())
    assert one.queues() == [1, 0]


async def test_who_is_probed_gets_one_at_a_time(bench: Callable[[int], Bench]) -> None:
    one = bench(2)
    standing = one.shards[0].standing
    for _ in range(5):
        standing.erred(standing.doubted(), time.monotonic() - 11, may_eject=True)
    for _ in range(60):
        one.dispatch.join(_job())
    assert one.queues() == [1, 20]


async def test_a_second_opinion_comes_from_another_one_and_first(
    bench: Callable[[int], Bench],
) -> None:
    one = bench(2)
    for _ in range(45):
        one.dispatch.join(_job())
    first, second = one.shards
    waiter = one.dispatch.join(_job(), not_on=first)
    assert waiter.lease is None
    second.replica.detach("lost")
    pipe = GatewayEnd(generation=2)
    one.ends[1].close()
    one.ends[1] = shard_end(pipe, generation=2)
    one.ends[1].send(_READY)
    second.replica.attach(pipe)
    second.replica.receive()
    one.dispatch.serve()
    assert waiter.lease is not None
    assert waiter.lease[0] is second
    assert one.queues() == [20, 6]  # it, and the five that waited


@pytest.mark.parametrize(("replicas", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_at_most_half_are_left_out(
    bench: Callable[[int], Bench], replicas: int, out: int
) -> None:
    one = bench(replicas)
    for shard in one.shards:
        for _ in range(20):
            one.dispatch.contradicted(shard, shard.standing.doubted())
    assert sum(shard.standing.is_ejected(time.monotonic()) for shard in one.shards) == out
