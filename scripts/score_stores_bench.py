"""The stores behind the score cache: the rows of `scripts/bench-score-cache` with a restart, with
Redis, and with a Redis that is killed again and again.

Every answer is checked: one that was kept must have the bits that were computed.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from gateway.cli.bench.workloads import Request, requests
from shards.engines.fake import margin
from tests.redis_server import RedisServer, redis_server
from tests.system.running import Gateway, running

Row = dict[str, float | str]

_STORES = """
score_cache_path = "{path}"
"""
_SHARED = """
score_cache_url = "{url}"
score_cache_secret_file = "{secret}"
"""
_MODEL = """
[models.m]
source = "{source}"
dtype = "{dtype}"
canary = "numeric"
threads = {threads}
"""
_FAKE = """
[models.m]
source = "fake?files=1"
engine = "fake"
"""
_KILLS = 20
_CLIENTS = 4
_WINDOW = 200  # requests that are asked again and again, and a tenth of them new
_PATIENCE_SECONDS = 60.0
_SAME = 1e-3


class Answer(NamedTuple):
    """The time of an answer, its scores in input order, and the number that were computed."""

    seconds: float
    scores: list[float]
    misses: int


async def _answer(gateway: Gateway, asked: Request) -> Answer:
    """Send a request, and return its answer."""
    started = time.perf_counter()
    status, body, headers = await gateway.rerank(
        [*asked.documents], query=asked.query, timeout_seconds=600, raw_scores=True
    )
    assert status == 200, body
    seconds = time.perf_counter() - started
    results = sorted(body["results"], key=lambda result: result["index"])
    misses = int(headers["x-gateway-cache"].split("misses=")[1].split(",")[0])
    return Answer(seconds, [result["relevance_score"] for result in results], misses)


async def _stored(gateway: Gateway, source: str, number: int) -> None:
    """Wait until the gateway has written so many scores to a store."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        _, status = await gateway.get("/status")
        (store,) = [s for s in status["score_cache"]["stores"] if s["source"] == source]
        if store["written"] >= number:
            return
        assert time.monotonic() < end, store
        await asyncio.sleep(0.02)


async def _again(
    name: str, source: str, first: Gateway, config: str, folder: Path, rounds: int
) -> Row:
    """Ask one gateway, and then another one that finds the scores in a store."""
    asked = list(islice(requests("rag20", seed=6), 10 * rounds))
    computed = [await _answer(first, request) for request in asked]
    await _stored(first, source, sum(len(request.documents) for request in asked))
    if source == "disk":
        first.process.terminate()
        await first.wait()
    async with running(config, folder) as second:
        await second.until_ready()
        # The scores of one request, which opens the connections of this client, are not measured.
        await _answer(second, Request("warm", asked[0].documents[:1]))
        found = [await _answer(second, request) for request in asked]
        _, status = await second.get("/status")
    for kept, before in zip(found, computed, strict=True):
        assert kept.misses or kept.scores == before.scores
    (model,) = status["score_cache"]["models"]
    hit = statistics.median(answer.seconds for answer in found)
    miss = statistics.median(answer.seconds for answer in computed)
    share = model[source] / sum(len(request.documents) for request in asked)
    return {
        "row": f"{name}, {share:.0%} found in time",
        "cached_ms": 1e3 * hit,
        "computed_ms": 1e3 * miss,
        "ratio": miss / hit,
    }


async def from_disk(settings: Mapping[str, object], room: Path, rounds: int) -> Row:
    """Return the row of a gateway that was restarted."""
    folder = room / "disk"
    folder.mkdir()
    config = _STORES.format(path=folder / "scores.db") + _MODEL.format(**settings)
    async with running(config, folder) as first:
        await first.until_ready()
        return await _again("from disk", "disk", first, config, folder, rounds)


async def from_redis(settings: Mapping[str, object], room: Path, rounds: int) -> Row:
    """Return the row of a gateway that asks for what another one has computed."""
    with redis_server(room / "redis") as server:
        config = _shared(server) + _MODEL.format(**settings)
        folders = _folders(room, "redis first", "redis second")
        async with running(config, folders[0]) as first:
            await first.until_ready()
            return await _again("from Redis", "shared", first, config, folders[1], rounds)


async def claimed(settings: Mapping[str, object], room: Path, rounds: int) -> Row:
    """Return the row of two gateways that are asked the same new request at once."""
    model = _MODEL.format(**settings)
    with redis_server(room / "claimed") as server:
        folders = _folders(room, "claimed a", "claimed b", "alone a", "alone b")
        async with AsyncExitStack() as stack:
            found = []
            for folder, shares in zip(folders, (True, True, False, False), strict=True):
                config = (_shared(server) if shares else "") + model
                gateway = await stack.enter_async_context(running(config, folder))
                await gateway.until_ready()
                found.append(gateway)
            return await _claimed(found[:2], found[2:], rounds)


async def _claimed(sharing: Sequence[Gateway], alone: Sequence[Gateway], rounds: int) -> Row:
    first, *new = islice(requests("rag20", seed=8), 1 + rounds)
    for gateway in (*sharing, *alone):
        warm = Request(gateway.url, first.documents)  # the gateways learn their pace
        await _answer(gateway, warm)
    times, pairs = {}, {}
    for name, both in (("sharing", sharing), ("alone", alone)):
        before, taken = await _computed(both), []
        for asked in new:
            started = time.perf_counter()
            one, other = await asyncio.gather(*(_answer(gateway, asked) for gateway in both))
            taken.append(time.perf_counter() - started)
            pairs_of_scores = zip(one.scores, other.scores, strict=True)
            assert all(abs(a - b) < _SAME for a, b in pairs_of_scores)  # batches may differ
        times[name], pairs[name] = statistics.median(taken), await _computed(both) - before
    return {
        "row": f"claimed: {pairs['sharing'] / rounds:g} pairs against {pairs['alone'] / rounds:g}",
        "cached_ms": 1e3 * times["sharing"],
        "computed_ms": 1e3 * times["alone"],
        "ratio": times["alone"] / times["sharing"],
    }


async def _computed(gateways: Sequence[Gateway]) -> int:
    """Return the number of documents that the shards have scored."""
    found = [await gateway.shards() for gateway in gateways]
    return sum(shard["documents"] for shards in found for shard in shards.values())


def _shared(server: RedisServer) -> str:
    secret = server.folder / "secret"
    secret.write_text("0123456789abcdef" * 2)
    return _SHARED.format(url=server.url, secret=secret)


def _folders(room: Path, *names: str) -> Sequence[Path]:
    folders = [room / name for name in names]
    for folder in folders:
        folder.mkdir()
    return folders


async def redis_killed(room: Path, seconds: float) -> Row:
    """Return the p99 of two gateways while their Redis is killed, and of one without Redis."""
    folders = _folders(room, "killed a", "killed b", "no redis")
    with redis_server(room / "killed") as server:
        config = "score_cache_mb = 1\n" + _shared(server) + _FAKE
        async with (
            running(config, folders[0]) as first,
            running(config, folders[1]) as second,
            running("score_cache_mb = 1\n" + _FAKE, folders[2]) as plain,
        ):
            for gateway in (first, second, plain):
                await gateway.until_ready()
            times: dict[Gateway, list[float]] = {first: [], second: [], plain: []}
            async with _asking(times):
                for _ in range(_KILLS):
                    await asyncio.sleep(seconds / _KILLS)
                    await asyncio.to_thread(server.kill)
                    await asyncio.sleep(seconds / _KILLS)
                    await asyncio.to_thread(server.start)
            _, status = await first.get("/status")
    (store,) = status["score_cache"]["stores"]
    shared, alone = _p99([*times[first], *times[second]]), _p99(times[plain])
    number = len(times[first]) + len(times[second])
    return {
        "row": f"Redis killed {_KILLS} times, p99 of {number:,} right answers, "
        f"{store['opened']} times left alone",
        "cached_ms": 1e3 * shared,
        "computed_ms": 1e3 * alone,
        "ratio": alone / shared,
    }


@asynccontextmanager
async def _asking(times: Mapping[Gateway, list[float]]) -> AsyncIterator[None]:
    """Ask the gateways in turn until the block ends, and check each answer."""
    clients = [asyncio.create_task(_client(number, times)) for number in range(_CLIENTS)]
    try:
        yield
        for client in clients:
            if client.done():
                client.result()  # a wrong answer, or none
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _client(number: int, times: Mapping[Gateway, list[float]]) -> None:
    for place in count():
        repeated = f"query {place % _WINDOW}" if place % 10 else f"client {number}, {place}"
        asked = Request(repeated, tuple(f"document {index}" for index in range(20)))
        for gateway, taken in times.items():
            answer = await _answer(gateway, asked)
            assert answer.scores == [margin(asked.query, text) for text in asked.documents]
            taken.append(answer.seconds)


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[-1]
