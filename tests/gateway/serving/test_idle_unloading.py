"""Models that are loaded for their first request and unloaded when idle, with real shards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config import ModelSpec, ShadowSpec, SplitSpec
from gateway.domain.errors import ModelDrained, ModelUnavailable
from gateway.domain.request import Document, RerankRequest, RerankResult
from gateway.http.model_access import Candidates, choose
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.revision_check import RevisionFailed
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ModelStatus
from shards.engines.fake import margin
from tests.gateway.serving.test_fleet import PATIENCE_SECONDS, POLICY, rerank, spec, until

_IDLE_SECONDS = 0.01


def lazy(name: str, options: str = "", *, idle: float = 0.0, replicas: int = 1) -> ModelSpec:
    plain = spec(name, options, default=name == "a")
    (shard,) = plain.shards
    shards = tuple(replace(shard, name=f"{name}/cpu:0#{nth}") for nth in range(replicas))
    return replace(plain, load="first-use", idle_seconds=idle, shards=shards)


@asynccontextmanager
async def running(*specs: ModelSpec) -> AsyncIterator[Fleet]:
    fleet = Fleet(specs, POLICY, Metrics())
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


def status(fleet: Fleet, name: str = "a") -> ModelStatus:
    return next(model for model in fleet.status() if model.name == name)


async def until_state(fleet: Fleet, state: str, name: str = "a") -> None:
    await until(lambda: status(fleet, name).state == state)


async def until_gone(fleet: Fleet, name: str = "a") -> None:
    await until(lambda: all(shard.state == "idle" for shard in status(fleet, name).shards))


async def test_the_first_request_loads_a_model_and_waits_for_it() -> None:
    async with running(lazy("a", "load_ms=50"), lazy("b")) as fleet:
        assert (status(fleet).state, status(fleet).shards[0].pid) == ("idle", None)
        results = await asyncio.gather(*[rerank(fleet) for _ in range(5)])
        assert [result.model for result in results] == ["a"] * 5
        found = status(fleet)
        assert (found.state, found.loads, found.cold_requests) == ("ready", 1, 5)
        assert found.load_seconds > 0
        assert found.cold_seconds > 0
        assert (status(fleet, "b").state, status(fleet, "b").loads) == ("idle", 0)


async def test_an_idle_model_leaves_and_comes_back() -> None:
    async with running(lazy("a", idle=_IDLE_SECONDS, replicas=2)) as fleet:
        for load in range(1, 3):
            await rerank(fleet)
            await until_gone(fleet)
            found = status(fleet)
            assert (found.state, found.loads) == ("idle", load)
            assert [shard.restarts for shard in found.shards] == [0, 0]
            assert found.max_length, "what was loaded is still described"


async def test_requests_at_every_moment_of_the_unloading_are_answered() -> None:
    """One comes at each step of the event loop from the stop of the shard to its end."""
    async with running(lazy("a")) as fleet:
        model = fleet.model("a")
        await rerank(fleet)
        for steps in range(0, 40, 4):
            fleet.unload("a")
            assert not model.presence.is_wanted
            for _ in range(steps):
                await asyncio.sleep(0.001)
            await rerank(fleet)
            await until_state(fleet, "ready")
        assert status(fleet).loads == 11
        assert status(fleet).shards[0].last_error == ""


async def test_a_model_with_work_inside_stays_and_a_new_request_cancels_its_unloading() -> None:
    async with running(lazy("a", "delay_ms=1000")) as fleet:
        await rerank(fleet)
        first = asyncio.create_task(rerank(fleet))
        await until(lambda: bool(fleet.model("a").admitted_tokens))
        fleet.unload("a")
        assert (status(fleet).state, fleet.model("a").presence.is_leaving) == ("ready", True)
        second = asyncio.create_task(rerank(fleet))
        await asyncio.gather(first, second)
        assert status(fleet).loads == 1
        third = asyncio.create_task(rerank(fleet))
        await until(lambda: bool(fleet.model("a").admitted_tokens))
        fleet.unload("a")
        await third
        await until_gone(fleet)


async def test_a_request_that_cannot_wait_is_told_the_time_of_the_last_load() -> None:
    async with running(lazy("a", "load_ms=1500")) as fleet:
        await rerank(fleet)
        fleet.unload("a")
        await until_gone(fleet)
        with pytest.raises(ModelUnavailable, match="is being loaded, for about") as refused:
            await _rerank_within(fleet, seconds=0.5)
        assert refused.value.retry_after_seconds is not None
        assert refused.value.retry_after_seconds >= 2
        await until_state(fleet, "ready")  # the refused request has begun the load
        assert status(fleet).loads == 2


async def _rerank_within(
    fleet: Fleet, seconds: float, cache: ScoreCache | None = None
) -> RerankResult:
    request = RerankRequest(queries=("q",), documents=(Document("d"),))
    reranker = Reranker(Shadows(fleet, Metrics()), cache or ScoreCache(0, 1.0))
    deadline = time.monotonic() + seconds
    return await reranker.rerank(request, model=fleet.model("a"), request_id="1", deadline=deadline)


@pytest.mark.parametrize(
    ("options", "reason"),
    [("refuse=66", "refused, as its source asks"), ("crash_on_load=1", "exited with code 1")],
)
async def test_a_failed_load_answers_with_its_reason_and_is_not_repeated(
    options: str, reason: str
) -> None:
    async with running(lazy("a", options, idle=_IDLE_SECONDS), lazy("b")) as fleet:
        with pytest.raises(ModelUnavailable) as refused:
            await rerank(fleet)
        assert reason in refused.value.cause
        await until_state(fleet, "failed")
        starts = status(fleet).shards[0].generation
        with pytest.raises(ModelUnavailable):
            await rerank(fleet)
        assert status(fleet).shards[0].generation == starts
        fleet.load("a")
        await until(lambda: status(fleet).shards[0].generation > starts)


async def test_a_request_that_the_score_cache_answers_loads_nothing() -> None:
    async with running(lazy("a")) as fleet:
        cache = ScoreCache(2**20, 3600.0)
        await _rerank_within(fleet, PATIENCE_SECONDS, cache)
        fleet.unload("a")
        await until_gone(fleet)
        found = await _rerank_within(fleet, PATIENCE_SECONDS, cache)
        assert [document.margin for document in found.scored] == [margin("q", "d")]
        assert [document.source for document in found.scored] == ["memory"]
        assert (status(fleet).state, status(fleet).loads) == ("idle", 1)


async def test_a_reload_leaves_idle_models_idle_and_checks_those_that_are_loaded() -> None:
    async with running(lazy("a"), lazy("b")) as fleet:
        await rerank(fleet)
        with pytest.raises(RevisionFailed):
            await fleet.apply([lazy("a", "refuse=66"), lazy("b")])
        await fleet.apply([lazy("a"), lazy("b", "delay_ms=1"), lazy("c")])
        assert [model.state for model in fleet.status()] == ["ready", "idle", "idle"]
        with pytest.raises(RevisionFailed):
            await fleet.apply([lazy("a"), lazy("b", "refuse=66"), lazy("c")], again=("b",))
        assert (await rerank(fleet, "b")).model == "b"
        await fleet.apply([lazy("a"), lazy("b"), replace(lazy("c"), load="start")])
        await until_state(fleet, "ready", "c")


async def test_a_drained_model_is_not_loaded() -> None:
    async with running(lazy("a"), lazy("b")) as fleet:
        fleet.drain("a")
        await until_state(fleet, "drained")
        for change in (fleet.load, fleet.unload):
            with pytest.raises(ModelDrained):
                change("a")
        with pytest.raises(ModelDrained):
            await rerank(fleet)
        assert status(fleet).loads == 0


async def test_a_gateway_that_ends_while_a_model_loads_waits_for_nothing() -> None:
    async with running(lazy("a", "load_ms=60000")) as fleet:
        waiting = asyncio.create_task(rerank(fleet))
        await until(lambda: status(fleet).shards[0].state == "loading")
        fleet.unload("a")  # a request waits for it, so it stays
        assert status(fleet).state == "loading"
    with pytest.raises(ModelUnavailable):
        await waiting


async def test_an_operator_unloads_a_model_while_it_loads() -> None:
    async with running(lazy("a", "load_ms=60000")) as fleet:
        fleet.load("a")
        await until(lambda: status(fleet).shards[0].state == "loading")
        fleet.unload("a")
        await until_gone(fleet)
        assert status(fleet).shards[0].last_error == ""


async def test_a_shadow_is_loaded_by_the_first_request_that_is_drawn_for_it() -> None:
    first = replace(spec("a", default=True), shadow=ShadowSpec(model="b", percent=100.0))
    async with running(first, lazy("b")) as fleet:
        shadows = Shadows(fleet, Metrics(), draw=lambda: 0.0)
        request = RerankRequest(queries=("q",), documents=(Document("d"), Document("e")))

        async def score() -> None:
            await Reranker(shadows, ScoreCache(0, 1.0)).rerank(
                request,
                model=fleet.model("a"),
                request_id="1",
                deadline=time.monotonic() + PATIENCE_SECONDS,
            )

        await score()
        assert shadows.status()[0].dropped == 1
        await until_state(fleet, "ready", "b")
        await score()
        await until(lambda: shadows.status()[0].compared == 1)
        await shadows.stop()


async def test_a_split_counts_an_idle_model_as_one_that_scores() -> None:
    split = SplitSpec(name="s", default=False, weights={"a": 1.0, "b": 1.0})
    async with running(spec("a", default=True), lazy("b")) as fleet:
        await until_state(fleet, "ready")
        candidates = Candidates(("a", "b"), split)
        routes = [
            choose(fleet, None, candidates, name="s", queries=(f"query {number}",))
            for number in range(50)
        ]
        assert {route.name for route in routes} == {"a", "b"}
        fleet.drain("b")
        routes = [
            choose(fleet, None, candidates, name="s", queries=(f"query {number}",))
            for number in range(50)
        ]
        assert {route.name for route in routes} == {"a"}
