"""Vectors at the gateway's end of a pipe: in parts, of the right size, and for jobs that wait."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from gateway.supervision.replica import ReplicaLost
from shards.wire.codecs import WireError
from shards.wire.messages import Scores, Vectors
from tests.gateway.supervision.test_replica import READY, Bench, a_job, scores_of


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.replica.detach("the test is over")
    bench.shard.close()


def _vectors_of(bench: Bench, dimensions: int = 0) -> asyncio.Future[Scores]:
    """Submit a job of three texts to a model whose vectors have two numbers."""
    bench.shard.send(replace(READY, facts=replace(READY.facts, vector_width=2)))
    bench.replica.receive()
    job = a_job(documents=3)
    asked = replace(job.payload, queries=("",), side="text", dimensions=dimensions)
    scores = asyncio.get_running_loop().create_future()
    bench.replica.submit(structs.replace(job, payload=asked), scores)
    return scores


async def test_vectors_that_come_in_parts_are_put_together(bench: Bench) -> None:
    scores = _vectors_of(bench)
    job = bench.received_job()
    data = bytes(range(24))
    bench.shard.send(Vectors(job, data[:3]))
    bench.shard.send(Vectors(job, data[3:10]))
    bench.shard.send(replace(scores_of(job, 3), vectors=data[10:]))
    bench.replica.receive()
    assert scores.result().vectors == data


@pytest.mark.parametrize(("dimensions", "size"), [(0, 24), (1, 12), (2, 24), (9, 24)])
async def test_vectors_have_the_asked_dimensions(bench: Bench, dimensions: int, size: int) -> None:
    scores = _vectors_of(bench, dimensions)
    bench.shard.send(replace(scores_of(bench.received_job(), 3), vectors=bytes(size)))
    bench.replica.receive()
    assert scores.result().vectors == bytes(size)


@pytest.mark.parametrize("size", [0, 23, 25])
async def test_a_wrong_number_of_vectors_loses_the_shard(bench: Bench, size: int) -> None:
    scores = _vectors_of(bench)
    bench.shard.send(replace(scores_of(bench.received_job(), 3), vectors=bytes(size)))
    with pytest.raises(WireError):
        bench.replica.receive()
    assert isinstance(scores.exception(), ReplicaLost)


async def test_vectors_that_no_job_waits_for_lose_the_shard(bench: Bench) -> None:
    scores = _vectors_of(bench)
    job = bench.received_job()
    bench.shard.send(Vectors(job + 100, b"abc"))
    with pytest.raises(WireError, match="waits for none"):
        bench.replica.receive()
    bench.shard.send(Vectors(job, bytes(20)))
    bench.shard.send(Vectors(job, bytes(5)))
    with pytest.raises(WireError, match="more bytes"):
        bench.replica.receive()
    scores.cancel()


async def test_vectors_of_a_cancelled_job_are_not_kept(bench: Bench) -> None:
    scores = _vectors_of(bench)
    job = bench.received_job()
    scores.cancel()
    for _ in range(2):  # too many, were they kept
        bench.shard.send(Vectors(job, bytes(20)))
    bench.replica.receive()
    assert bench.replica.queue == 1
