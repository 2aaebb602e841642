"""The gateway's end of a pipe; the tests act as the shard at the other end."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from gateway.domain.errors import EngineFailed, InvalidRequest
from gateway.domain.job import Job
from gateway.domain.pair_faults import PairFault
from gateway.supervision.replica import Replica, ReplicaLost
from shards.wire.codecs import WireError
from shards.wire.facts import Facts
from shards.wire.messages import (
    DOCUMENT_TOO_LONG,
    Cancel,
    Failed,
    Ready,
    Score,
    Scores,
    Stage,
    Stop,
)
from shards.wire.pipe import GatewayEnd
from tests.pipes import shard_end

READY = Ready(Facts(engine="fake", device="cpu", dtype="fp32", max_length=512, token_budget=1000))


class Bench:
    """A replica, and the shard's end of its pipe."""

    def __init__(self) -> None:
        self.reports: list[object] = []
        self.rooms = 0
        self.replica = Replica("m/cpu:0", on_report=self.reports.append, on_room=self._count_room)
        self.pipe = GatewayEnd(generation=1)
        self.shard = shard_end(self.pipe, generation=1)
        self.replica.attach(self.pipe)

    def _count_room(self) -> None:
        self.rooms += 1

    def submit(self, tokens: int = 100, documents: int = 1) -> asyncio.Future[Scores]:
        scores: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        assert self.replica.submit(a_job(tokens, documents), scores) is not None
        return scores

    def received_job(self) -> int:
        message = self.shard.receive()
        assert isinstance(message, Score)
        return message.job


def a_job(tokens: int = 100, documents: int = 1, *, is_isolated: bool = False) -> Job:
    return Job(
        payload=Score(
            job=0,
            deadline_ns=0,
            max_document_tokens=0,
            instruction="",
            queries=("q",),
            documents=("d",) * documents,
        ),
        tokens=tokens,
        text_bytes=2,
        wire_bytes=100,
        is_small=True,
        is_isolated=is_isolated,
    )


def scores_of(job: int, count: int = 1) -> Scores:
    return Scores(job, (0.5,) * count, (3,) * count, (), 3, 0, 0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.replica.detach("the test is over")
    bench.shard.close()


@pytest.fixture
def ready(bench: Bench) -> Bench:
    bench.shard.send(READY)
    bench.replica.receive()
    return bench


async def test_the_reports_of_a_starting_shard_are_passed_on(bench: Bench) -> None:
    assert not bench.replica.has_room(a_job())
    bench.shard.send(Stage("loading", "weights"))
    bench.shard.send(READY)
    bench.replica.receive()
    assert bench.reports == [Stage("loading", "weights"), READY]
    assert bench.replica.has_room(a_job())


async def test_an_answer_resolves_its_job_and_makes_room(ready: Bench) -> None:
    scores = ready.submit()
    answer = scores_of(ready.received_job())
    rooms = ready.rooms
    ready.shard.send(answer)
    ready.replica.receive()
    assert await scores == answer
    assert (ready.replica.queue, ready.replica.outstanding_tokens) == (0, 0)
    assert ready.rooms == rooms + 1


async def test_answers_may_be_received_a_few_at_a_time(ready: Bench) -> None:
    waiting = [ready.submit() for _ in range(3)]
    answers = [scores_of(ready.received_job()) for _ in waiting]
    for answer in answers:
        ready.shard.send(answer)
    ready.replica.receive(2)
    assert [scores.done() for scores in waiting] == [True, True, False]
    ready.replica.receive(2)
    assert await waiting[2] == answers[2]


async def test_a_failure_names_the_document_that_is_too_long(ready: Bench) -> None:
    scores = ready.submit(documents=3)
    ready.shard.send(Failed(ready.received_job(), DOCUMENT_TOO_LONG, "because", document=2))
    ready.replica.receive()
    with pytest.raises(PairFault) as caught:
        await scores
    assert caught.value.place == 2


async def test_the_truncation_of_a_job_reaches_the_shard(ready: Bench) -> None:
    payload = replace(a_job().payload, keep_end=True, refuse_truncation=True)
    job = structs.replace(a_job(), payload=payload)
    ready.replica.submit(job, asyncio.get_running_loop().create_future())
    message = ready.shard.receive()
    assert isinstance(message, Score)
    assert message.keep_end
    assert message.refuse_truncation


async def test_a_job_of_many_batches_leaves_room_for_others(ready: Bench) -> None:
    facts = ready.replica.facts
    assert facts is not None
    whole = a_job(tokens=100 * facts.token_budget)
    giant = structs.replace(whole, payload=replace(whole.payload, in_passages=True))
    ready.replica.submit(giant, asyncio.get_running_loop().create_future())
    assert ready.replica.outstanding_tokens == facts.token_budget
    small = structs.replace(a_job(), tokens=facts.token_budget)
    assert ready.replica.has_room(small)
    job = ready.received_job()
    ready.shard.send(scores_of(job))
    ready.replica.receive()
    assert ready.replica.outstanding_tokens == 0


async def test_an_answer_has_spans_for_every_document_or_none(ready: Bench) -> None:
    scores = ready.submit(documents=2)
    answer = replace(scores_of(ready.received_job(), 2), passages=(3,), starts=(0,), ends=(9,))
    ready.shard.send(answer)
    with pytest.raises(WireError):
        ready.replica.receive()
    with pytest.raises(ReplicaLost):
        await scores


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("query_too_long", InvalidRequest),
        ("engine_error", EngineFailed),
        ("unknown_code", EngineFailed),
    ],
)
async def test_a_code_of_the_shard_becomes_an_error_of_the_client(
    ready: Bench, code: str, error: type[Exception]
) -> None:
    scores = ready.submit()
    ready.shard.send(Failed(ready.received_job(), code, "because"))
    ready.replica.receive()
    with pytest.raises(error, match="because"):
        await scores


async def test_slots_are_free_for_whole_batches(bench: Bench) -> None:
    assert bench.replica.free_slots == 0  # it is not ready
    bench.shard.send(READY)
    bench.replica.receive()
    assert bench.replica.free_slots == 2
    scores = bench.submit(100)
    assert bench.replica.free_slots == 1
    bench.submit(1000)
    assert bench.replica.free_slots == 0
    job = bench.received_job()
    bench.shard.send(scores_of(job))
    bench.replica.receive()
    assert scores.done()
    assert bench.replica.free_slots == 1


async def test_a_window_of_two_batches_is_sent_and_no_more(ready: Bench) -> None:
    ready.submit(tokens=900)
    ready.submit(tokens=600)
    assert ready.replica.has_room(a_job(tokens=500))
    assert not ready.replica.has_room(a_job(tokens=501))


async def test_beside_a_document_of_many_batches_there_is_room_for_one_more(ready: Bench) -> None:
    ready.submit(tokens=8000)
    assert ready.replica.outstanding_tokens == 8000
    assert ready.replica.has_room(a_job(tokens=9000))
    ready.submit(tokens=1000)
    assert not ready.replica.has_room(a_job(tokens=1))


async def test_a_job_over_the_window_is_sent_to_an_idle_shard(ready: Bench) -> None:
    assert ready.replica.has_room(a_job(tokens=1_000_000))


async def test_a_cancelled_job_takes_room_until_the_shard_has_dropped_it(ready: Bench) -> None:
    ready.submit(tokens=1000)
    scores = ready.submit(tokens=1000)
    ready.received_job()
    job = ready.received_job()
    scores.cancel()
    ready.replica.cancel(job)
    assert not ready.replica.has_room(a_job())
    assert ready.shard.receive() == Cancel(job)
    ready.shard.send(Failed(job, "cancelled", ""))
    ready.replica.receive()
    assert ready.replica.has_room(a_job())


async def test_answers_that_a_lost_shard_had_written_are_kept_and_the_rest_is_lost(
    ready: Bench,
) -> None:
    answered, lost = ready.submit(), ready.submit()
    answer = scores_of(ready.received_job())
    ready.shard.send(answer)
    ready.replica.receive()
    ready.replica.detach("ended by signal SIGKILL")
    assert await answered == answer
    with pytest.raises(ReplicaLost, match="SIGKILL"):
        await lost
    assert (ready.replica.queue, ready.replica.outstanding_tokens) == (0, 0)
    assert ready.replica.facts is None


async def test_all_jobs_of_a_lost_shard_are_returned_even_cancelled_ones(ready: Bench) -> None:
    left, waiting = ready.submit(tokens=1), ready.submit(tokens=2)
    ids = [ready.received_job(), ready.received_job()]
    left.cancel()
    lost = ready.replica.detach("ended by signal SIGSEGV")
    assert {job_id: job.tokens for job_id, job in lost.items()} == dict(
        zip(ids, (1, 2), strict=True)
    )
    with pytest.raises(ReplicaLost):
        await waiting


async def test_an_isolated_job_is_alone_in_its_shard(ready: Bench) -> None:
    assert ready.replica.has_room(a_job(is_isolated=True))
    ready.submit()
    assert not ready.replica.has_room(a_job(is_isolated=True))
    ready.shard.send(scores_of(ready.received_job()))
    ready.replica.receive()
    scores: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
    ready.replica.submit(a_job(is_isolated=True), scores)
    assert not ready.replica.has_room(a_job())


async def test_a_closed_pipe_takes_no_job(ready: Bench) -> None:
    ready.shard.close()
    scores: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
    assert ready.replica.submit(a_job(), scores) is None
    assert not ready.replica.has_room(a_job())
    ready.replica.receive()
    assert ready.replica.is_closed
    assert not ready.replica.has_room(a_job())


async def test_a_wrong_number_of_scores_ends_the_shard_and_loses_the_job(ready: Bench) -> None:
    scores = ready.submit(documents=2)
    ready.shard.send(scores_of(ready.received_job(), count=1))
    with pytest.raises(WireError, match="1 scores for 2 documents"):
        ready.replica.receive()
    with pytest.raises(ReplicaLost):
        await scores


async def test_an_answer_to_nothing_ends_the_shard(ready: Bench) -> None:
    ready.shard.send(scores_of(12345678))
    with pytest.raises(WireError, match="12345678"):
        ready.replica.receive()


async def test_a_shard_that_sends_a_message_of_the_gateway_is_killed(ready: Bench) -> None:
    ready.shard.send(Stop())
    with pytest.raises(WireError, match="does not send Stop"):
        ready.replica.receive()
