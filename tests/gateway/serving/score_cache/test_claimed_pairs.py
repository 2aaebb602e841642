"""Gateways that start on the same pair at once: one scores it, and no claim costs an answer."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.domain.errors import ModelDrained, Overloaded
from gateway.domain.request import Document, RerankRequest, sigmoid
from gateway.serving.score_cache.score_cache import CacheUse
from gateway.serving.score_cache.stores import claim_rule
from gateway.serving.score_cache.stores.redis import PREFIX
from gateway.serving.score_cache.stores.sealed_claim import seal_claim
from gateway.telemetry.score_cache_status import ScoreClaimsStatus
from shards.engines.fake import margin
from tests.gateway.serving.score_cache.test_shared_scoring import TEXTS, Sharing, sources
from tests.gateway.serving.score_cache.test_stored_scores import in_common, storing
from tests.gateway.serving.test_fleet import spec, until
from tests.redis_server import RedisServer, redis_server
from tests.system.running import Gateway, running

SLOW = spec("a", "files=1&delay_ms=1500", default=True)
PATIENCE_SECONDS = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests claim on a busy machine, and wait for long."""
    monkeypatch.setattr(claim_rule, "PAYS_ROUND_TRIPS", 0)
    monkeypatch.setattr(claim_rule, "WAITED_SHARE", 100)
    monkeypatch.setattr(claim_rule, "_LIFETIMES", 1000)


@asynccontextmanager
async def gateways(server: RedisServer, number: int = 2) -> AsyncIterator[list[Sharing]]:
    """Run gateways that have scored before: they have a pace."""
    settings = in_common(Settings(score_cache_mb=1), server, None)
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(storing(settings, SLOW, waits=1)) for _ in range(number)
        ]
        for place, shared in enumerate(found):
            await shared.rerank(query=f"the first of {place}", seconds=PATIENCE_SECONDS)
        yield found


def keys_of(shared: Sharing) -> list[bytes]:
    model = shared.fleet.model("a")
    request = RerankRequest(queries=("q",), documents=tuple(map(Document, TEXTS)))
    return list(shared.cache.keys(request, model, shared.cache.identity(model)))


def claims(shared: Sharing) -> ScoreClaimsStatus:
    found = shared.stores[0].claims
    assert found is not None
    return found


@pytest.mark.usefixtures("patient")
async def test_a_pair_asked_of_both_at_once_is_computed_once(server: RedisServer) -> None:
    async with gateways(server) as (one, other):
        before = one.computed + other.computed
        results = await asyncio.gather(
            *(shared.rerank() for shared in (one, other) for _ in range(8))
        )
        assert one.computed + other.computed - before == len(TEXTS)
        found = Counter(source for result in results for source in sources(result).elements())
        assert found["computed"] == len(TEXTS)
        assert found["shared"] > 0
        assert claims(one).won + claims(other).won == len(TEXTS)
        assert claims(one).run_out + claims(other).run_out == 0
        assert claims(one).waited + claims(other).waited == found["shared"]
        # Of a request that overlaps with one that is being scored, only the rest is computed.
        first = asyncio.create_task(one.rerank(query="x"))
        await one.until_flying()
        second = await other.rerank([*TEXTS[4:], "own", "own"], query="x")
        assert sources(second) == {"shared": 4, "computed": 1, "duplicate": 1}
        assert sources(await first) == {"computed": 8}


@pytest.mark.usefixtures("patient")
async def test_a_request_that_keeps_nothing_claims_nothing(server: RedisServer) -> None:
    async with gateways(server) as (one, other):
        for use in (CacheUse(keeps=False), CacheUse(reads=False)):
            first = asyncio.create_task(one.rerank(use=use, query=str(use)))
            await until(lambda: one.fleet.model("a").admitted_tokens > 0)
            assert sources(await other.rerank(query=str(use))) == {"computed": 8}
            await first
        assert (claims(one).won, claims(other).waited) == (0, 0)


async def test_a_claim_of_a_dead_gateway_costs_one_wait(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And garbage in its place costs nothing."""
    monkeypatch.setattr(claim_rule, "PAYS_ROUND_TRIPS", 0)
    async with gateways(server, 1) as (one,):
        secret = (server.folder / "secret").read_bytes()
        model = one.fleet.model("a")
        identity = one.cache.identity(model)
        request_keys = keys_of(one)
        for key in request_keys:
            sealed = seal_claim(key[-16:], b"the dead", secret)
            server.call("SET", PREFIX + b"score:" + key[-16:], sealed, "PX", "60000")
        assert sources(await one.rerank()) == {"computed": 8}
        assert claims(one).run_out == 8
        await until(lambda: one.stores[0].written == 16)  # in the places of the claims
        found = (await one.cache.read(identity, request_keys)).found
        assert len(found) == 8


@pytest.mark.usefixtures("patient")
async def test_a_model_that_is_drained_answers_what_has_entered(server: RedisServer) -> None:
    """As when a reload replaces it while a request asks the stores."""
    async with gateways(server) as (one, other):
        first = asyncio.create_task(one.rerank())
        await one.until_flying()
        second = asyncio.create_task(other.rerank())
        await until(lambda: bool(other.cache.stores.claims and other.cache.stores.claims.awaited))
        model = other.fleet.model("a")
        model.drain()
        server.kill()
        assert sources(await second) == {"computed": 8}
        await until(lambda: model.status().state == "drained")
        with pytest.raises(ModelDrained):
            await other.rerank()
        await first


@pytest.mark.usefixtures("patient")
async def test_claims_that_lead_to_nothing_are_given_up(server: RedisServer) -> None:
    async with gateways(server, 1) as (one,):
        leaving = asyncio.create_task(one.rerank())
        await one.until_flying()
        assert claimed(server, one) == 8
        leaving.cancel()
        await until(lambda: claimed(server, one) == 0)

        def refuse(*_: object, **__: object) -> Overloaded:
            return Overloaded("too much to do", retry_after_seconds=1)

        one.fleet.model("a")._refusal = refuse  # type: ignore[method-assign]
        with pytest.raises(Overloaded):
            await one.rerank()
        assert claims(one).won == 2 * 8
        await until(lambda: claimed(server, one) == 0)


def claimed(server: RedisServer, shared: Sharing) -> int:
    """Return the number of the pairs of `TEXTS` that have a claim or a score."""
    places = [PREFIX + b"score:" + key[-16:] for key in keys_of(shared)]
    return int(server.call("EXISTS", *places)[1:])


@pytest.mark.usefixtures("patient")
async def test_a_server_that_is_killed_while_requests_wait(server: RedisServer) -> None:
    async with gateways(server) as (one, other):
        first = asyncio.create_task(one.rerank())
        await one.until_flying()
        second = asyncio.create_task(other.rerank())
        await until(lambda: bool(other.cache.stores.claims and other.cache.stores.claims.awaited))
        server.kill()
        assert sources(await second) == {"computed": 8}
        assert sources(await first) == {"computed": 8}


_CONFIG = """
score_cache_url = "{url}"
score_cache_secret_file = "{secret}"
[models.m]
source = "fake?files=1&delay_ms=1500"
engine = "fake"
"""


@asynccontextmanager
async def processes(server: RedisServer, folder: Path) -> AsyncIterator[list[Gateway]]:
    """Run two gateways as processes of their own; both have a pace."""
    secret = server.folder / "secret"
    secret.write_text("0123456789abcdef" * 2)
    config = _CONFIG.format(url=server.url, secret=secret)
    async with AsyncExitStack() as stack:
        found = []
        for name in ("one", "other"):
            (folder / name).mkdir()
            gateway = await stack.enter_async_context(
                running(config, folder / name, site="patient_stores")
            )
            await gateway.until_ready()
            await ask(gateway, f"the first of {name}")
            found.append(gateway)
        yield found


async def ask(gateway: Gateway, query: str) -> None:
    """Send a request, and check its scores."""
    status, body, _ = await gateway.rerank([*TEXTS], query=query, timeout_seconds=PATIENCE_SECONDS)
    assert status == 200, body
    got = {result["index"]: result["relevance_score"] for result in body["results"]}
    assert got == {index: sigmoid(margin(query, text)) for index, text in enumerate(TEXTS)}


async def counted(gateway: Gateway, name: str) -> int:
    _, status = await gateway.get("/status")
    return int(status["score_cache"]["stores"][0]["claims"][name])


async def computed(*gateways: Gateway) -> int:
    found = [await gateway.shards() for gateway in gateways]
    return sum(shard["documents"] for shards in found for shard in shards.values())


@pytest.mark.timeout(400)
async def test_two_processes_compute_a_pair_once_and_outlive_each_other(
    server: RedisServer, tmp_path: Path
) -> None:
    """On a busy machine, the requests may not overlap: both are sent again."""
    async with processes(server, tmp_path) as (one, other):
        for number in range(10):
            before = await computed(one, other)
            await asyncio.gather(*(ask(gateway, f"query {number}") for gateway in (one, other)))
            if await computed(one, other) - before == len(TEXTS):
                break
        else:
            pytest.fail("no pair was computed once")
        assert await counted(one, "won") + await counted(other, "won") >= len(TEXTS)
        assert await counted(one, "waited") + await counted(other, "waited") >= len(TEXTS)
        assert await other.metric("reranker_score_claims_total") > 0

        dying = asyncio.create_task(ask(one, "of a dead gateway"))
        won = await counted(one, "won")
        end = time.monotonic() + 1.0  # its claim may not have been in time
        while await counted(one, "won") == won and time.monotonic() < end:
            await asyncio.sleep(0.01)
        asked = asyncio.create_task(ask(other, "of a dead gateway"))
        await asyncio.sleep(0)
        os.kill(one.process.pid, signal.SIGKILL)
        await asyncio.gather(dying, return_exceptions=True)
        await asked  # within its deadline, with the right scores
