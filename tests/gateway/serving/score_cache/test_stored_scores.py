"""Scores that outlive the process, with real shards of the fake engine and a file on disk."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config import ConfigError, ModelSettings, ModelSpec, Settings, model_specs
from gateway.domain.errors import Overloaded
from gateway.serving.score_cache.building import score_cache_of
from gateway.serving.score_cache.score_cache import NO_USE, CacheUse, ScoreCache
from shards.wire.messages import Canary
from tests.gateway.serving.score_cache.test_shared_scoring import TEXTS, Sharing, sources
from tests.gateway.serving.test_fleet import running, spec, until
from tests.redis_server import RedisServer, redis_server

MODEL = spec("a", "files=1", default=True)
FAILED = Canary("full", False, "", "fp32", (), (), ("another score than before",), 1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(score_cache_path=tmp_path / "scores.db", score_cache_mb=1)


@asynccontextmanager
async def storing(
    settings: Settings, model: ModelSpec = MODEL, waits: int = 2
) -> AsyncIterator[Sharing]:
    """Run a fleet and its score cache with the stores of the settings.

    Args:
        settings: the settings.
        model: the model of the fleet.
        waits: the number of stores that must work first.
    """
    cache = patient(score_cache_of(settings))
    async with running(model) as fleet:
        task = asyncio.create_task(cache.run(lambda: fleet.models))
        shared = Sharing(fleet, cache)
        epoch = cache.identity(fleet.model("a")).stored
        await until(lambda: all(store.is_ready(epoch) for store in list(cache.stores)[:waits]))
        try:
            yield shared
        finally:
            await until(lambda: all(not store.waiting for store in shared.stores))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def patient(cache: ScoreCache) -> ScoreCache:
    """Let requests wait for stores as long as it takes on a busy machine."""
    for store in cache.stores:
        store.read_seconds = 20.0
    return cache


async def test_scores_outlive_the_gateway(settings: Settings) -> None:
    async with storing(settings) as shared:
        first = await shared.rerank()
        assert sources(first) == {"computed": 8}
        assert sources(await shared.rerank(["secret"], use=NO_USE)) == {"computed": 1}
        await until(lambda: shared.stores[0].written == 8)
    async with storing(settings) as shared:
        again = await shared.rerank([*TEXTS, TEXTS[0], "new"])
        assert sources(again) == {"disk": 9, "computed": 1}
        assert [d.tokens for d in again.scored[:8]] == [d.tokens for d in first.scored]
        assert sources(await shared.rerank()) == {"memory": 8}
        assert sources(await shared.rerank(use=CacheUse(reads=False))) == {"computed": 8}
        assert sources(await shared.rerank(["secret"])) == {"computed": 1}
        (counts,) = shared.cache.status(shared.fleet.models).models
        assert (counts.disk, counts.memory) == (9, 8)


@asynccontextmanager
async def late_disk(shared: Sharing) -> AsyncIterator[Callable[[], None]]:
    """Keep the disk from answering until the call that is yielded; no request waits for it."""
    (store,) = shared.cache.stores
    store.read_seconds, store.answer_seconds = 0.0, 600.0
    gate = threading.Event()
    store._backend._reads.submit(gate.wait)  # type: ignore[attr-defined]
    try:
        yield gate.set
    finally:
        gate.set()


async def test_a_request_computes_while_the_disk_is_late(settings: Settings) -> None:
    async with storing(settings) as shared:
        await shared.rerank()
    async with storing(settings) as shared, late_disk(shared):
        assert sources(await shared.rerank()) == {"computed": 8}


async def test_late_scores_end_a_computation_and_make_a_failure_needless(
    settings: Settings,
) -> None:
    slow = spec("a", "files=1&delay_ms=3000", default=True)
    more = [f"more {number}" for number in range(8)]
    async with storing(settings, slow) as shared:
        await shared.rerank([*TEXTS, *more])
    async with storing(settings, slow) as shared:
        async with late_disk(shared) as answer:
            request = asyncio.create_task(shared.rerank())
            await shared.until_flying()
            answer()
            assert sources(await request) == {"disk": 8}
        await shared.rerank(["new"])  # the speed is known now
        busy = asyncio.create_task(shared.rerank(["other"]))
        await shared.until_flying()
        with pytest.raises(Overloaded):
            await shared.rerank(["another"], seconds=1.0)
        async with late_disk(shared) as answer:
            asyncio.get_running_loop().call_later(0.1, answer)
            assert sources(await shared.rerank(more, seconds=1.0)) == {"disk": 8}
        await busy


async def test_late_scores_end_no_job_that_scores_more(settings: Settings) -> None:
    slow = spec("a", "files=1&delay_ms=500", default=True)
    async with storing(settings, slow) as shared:
        await shared.rerank()
    async with storing(settings, slow) as shared, late_disk(shared) as answer:
        request = asyncio.create_task(shared.rerank([*TEXTS, "new"]))
        await shared.until_flying()
        answer()
        assert sources(await request)["computed"] >= 1


@pytest.mark.parametrize(
    "other",
    [
        spec("a", "files=2", default=True),
        spec("a", "files=1&delay_ms=1", default=True),
        replace(MODEL, shards=(replace(MODEL.shards[0], instruction="another"),)),
        replace(MODEL, shards=(replace(MODEL.shards[0], max_length=100),)),
    ],
)
async def test_another_model_shares_no_score(settings: Settings, other: ModelSpec) -> None:
    async with storing(settings) as shared:
        await shared.rerank()
    async with storing(settings, other) as shared:
        assert sources(await shared.rerank()) == {"computed": 8}
    async with storing(settings) as shared:
        assert sources(await shared.rerank()) == {"disk": 8}


async def test_a_model_without_files_has_no_stored_scores(settings: Settings) -> None:
    for _ in range(2):
        async with storing(settings, spec("a", default=True)) as shared:
            assert sources(await shared.rerank()) == {"computed": 8}
            assert sources(await shared.rerank()) == {"memory": 8}
            assert shared.stores[0].written == 0


async def test_a_failed_canary_makes_stored_scores_unreachable(settings: Settings) -> None:
    async with storing(settings) as shared:
        await shared.rerank()
        (shard,) = shared.fleet.model("a").replicas
        shard.canary.record(FAILED)  # and no request follows
    async with storing(settings) as shared:
        assert sources(await shared.rerank()) == {"computed": 8}
        await until(lambda: shared.stores[0].written == 8)
    async with storing(settings) as shared:
        assert sources(await shared.rerank()) == {"disk": 8}


async def test_another_gateway_forgets_in_memory_too(settings: Settings) -> None:
    async with storing(settings) as first, storing(settings) as second:
        await first.rerank()
        await until(lambda: first.stores[0].written == 8)
        assert sources(await second.rerank()) == {"disk": 8}
        assert sources(await second.rerank()) == {"memory": 8}
        model = second.fleet.model("a")
        before = second.cache.identity(model).revision
        first.cache.clear(first.fleet.model("a"))
        await until(lambda: second.cache.identity(model).revision != before)
        assert sources(await second.rerank()) == {"computed": 8}
        first.cache.clear()
        assert sources(await first.rerank()) == {"computed": 8}


async def test_a_score_keeps_its_age_over_restarts(settings: Settings) -> None:
    async with storing(settings) as shared:
        await shared.rerank()
    short = settings.model_copy(update={"score_cache_seconds": 0.001})
    async with storing(short) as shared:
        assert sources(await shared.rerank()) == {"computed": 8}


async def test_without_a_secret_there_are_no_scores_on_disk(settings: Settings) -> None:
    assert settings.score_cache_path is not None
    settings.score_cache_path.with_name("scores.db.secret").write_text("no secret")
    cache = score_cache_of(settings)
    async with running(MODEL) as fleet:
        task = asyncio.create_task(cache.run(lambda: fleet.models))
        await until(lambda: cache.status(fleet.models).stores[0].state == "degraded")
        assert "not a secret" in cache.status(fleet.models).stores[0].reason
        assert sources(await Sharing(fleet, cache).rerank()) == {"computed": 8}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not settings.score_cache_path.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def in_common(settings: Settings, server: RedisServer, path: Path | None) -> Settings:
    secret = server.folder / "secret"
    secret.write_text("0123456789abcdef" * 2)
    url = SecretStr(server.url)
    update = {"score_cache_url": url, "score_cache_secret_file": secret, "score_cache_path": path}
    return settings.model_copy(update=update)


async def test_gateways_have_scores_in_common(
    settings: Settings, server: RedisServer, tmp_path: Path
) -> None:
    one, two = (in_common(settings, server, path) for path in (None, tmp_path / "two.db"))
    async with storing(one) as first:
        await first.rerank()
        await until(lambda: first.stores[0].written == 8)
        async with storing(two) as second:
            again = await second.rerank([*TEXTS, "new"])
            assert sources(again) == {"shared": 8, "computed": 1}
            assert sources(await second.rerank()) == {"memory": 8}
            await until(lambda: second.stores[0].written == 9)  # on its disk as well
        server.kill()
        async with storing(two, waits=1) as second:
            assert sources(await second.rerank()) == {"disk": 8}
            assert sources(await second.rerank(["other"])) == {"computed": 1}
            assert second.stores[1].state == "degraded"
        assert sources(await first.rerank()) == {"memory": 8}


async def test_a_failed_canary_of_one_gateway_clears_all(
    settings: Settings, server: RedisServer, tmp_path: Path
) -> None:
    one, two = (in_common(settings, server, tmp_path / f"{name}.db") for name in "ab")
    async with storing(one) as first, storing(two) as second:
        await first.rerank()
        await until(lambda: first.stores[1].written == 8)
        assert sources(await second.rerank()) == {"shared": 8}
        model = second.fleet.model("a")
        before = second.cache.identity(model).revision
        (shard,) = first.fleet.model("a").replicas
        shard.canary.record(FAILED)
        await until(lambda: second.cache.identity(model).revision != before)
        assert sources(await second.rerank()) == {"computed": 8}
        assert sources(await second.rerank()) == {"memory": 8}


def test_without_its_package_a_url_is_refused(
    settings: Settings, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio.retry", None)
    with pytest.raises(ConfigError, match=r"redis-py .* pip install 'rerank-gateway\[redis\]'"):
        score_cache_of(in_common(settings, server, None))


def test_the_files_are_read_whole_where_scores_outlive_the_process(settings: Settings) -> None:
    models = {"m": ModelSettings(source="fake", engine="fake")}
    for path, whole in ((settings.score_cache_path, True), (None, False)):
        (model,) = model_specs(Settings(models=models, score_cache_path=path))
        assert model.shards[0].whole_files is whole
