"""Configurations of a fleet with real shards of the fake engine: processes and names."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config import ModelSpec
from gateway.domain.errors import ModelDrained, UnknownModel
from gateway.domain.request import Document, RerankRequest, RerankResult
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.revision_check import RevisionFailed
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.supervision.lifecycle import RestartPolicy
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ModelStatus
from shards.engines.fake import margin
from shards.wire.spec import ShardSpec

PATIENCE_SECONDS = 120.0
POLICY = FleetPolicy(
    restart=RestartPolicy(first_seconds=0.01, crash_limit=1), reload_seconds=PATIENCE_SECONDS
)


def spec(
    name: str, options: str = "", *, aliases: tuple[str, ...] = (), default: bool = False
) -> ModelSpec:
    source = f"fake?{options}"
    shard = ShardSpec(name=f"{name}/cpu:0", model=name, source=source, engine="fake")
    return ModelSpec(name=name, aliases=aliases, default=default, source=source, shards=(shard,))


A, B = spec("a", default=True), spec("b", aliases=("x",))


@asynccontextmanager
async def running(*specs: ModelSpec, policy: FleetPolicy = POLICY) -> AsyncIterator[Fleet]:
    """Run a fleet until the block ends; it must end, too, and leave no shard."""
    fleet = Fleet(specs, policy, Metrics())
    await fleet.start()
    try:
        await until(lambda: all(model.state == "ready" for model in fleet.status()))
        yield fleet
    finally:
        await fleet.stop()
        assert fleet.leaving() == ()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def pids(models: Sequence[ModelStatus]) -> dict[str, int | None]:
    return {shard.name: shard.pid for model in models for shard in model.shards}


async def rerank(fleet: Fleet, model: str | None = None) -> RerankResult:
    """Score a document, and check the score."""
    request = RerankRequest(queries=("q",), documents=(Document("d"),), model=model)
    deadline = time.monotonic() + PATIENCE_SECONDS
    result = await Reranker(Shadows(fleet, Metrics()), ScoreCache(0, 1.0)).rerank(
        request, model=fleet.model(fleet.resolve(model)), request_id="1", deadline=deadline
    )
    assert [document.margin for document in result.scored] == [margin("q", "d")]
    return result


async def test_models_that_did_not_change_keep_their_processes() -> None:
    async with running(A, B) as fleet:
        before = pids(fleet.status())
        models = [fleet.model("a"), fleet.model("b")]
        found = await fleet.apply([A, B])
        assert found.kept == ("a", "b")
        assert [fleet.model("a"), fleet.model("b")] == models
        assert pids(fleet.status()) == before


async def test_names_move_without_a_process() -> None:
    async with running(A, B) as fleet:
        before = pids(fleet.status())
        await fleet.apply([spec("b", default=True), spec("a", aliases=("x", "y"))])
        assert [fleet.resolve(name) for name in (None, "x", "y")] == ["b", "a", "a"]
        assert pids(fleet.status()) == before
        assert [(model.name, model.default) for model in fleet.status()] == [
            ("b", True),
            ("a", False),
        ]


async def test_added_changed_removed() -> None:
    async with running(A, B) as fleet:
        old = pids(fleet.status())
        new = spec("b", "delay_ms=1", aliases=("z",))
        found = await fleet.apply([new, spec("c", default=True)])
        assert (found.added, found.changed, found.removed) == (("c",), ("b",), ("a",))
        assert [model.state for model in fleet.status()] == ["ready", "ready"]
        assert pids(fleet.status())["b/cpu:0"] != old["b/cpu:0"]
        assert (await rerank(fleet, "z")).model == "b"
        assert (await rerank(fleet)).model == "c"
        for gone in ("a", "x"):
            with pytest.raises(UnknownModel, match="use one of: b, c"):
                fleet.resolve(gone)
        await until(lambda: not fleet.leaving())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("refuse=78", "refused, as its source asks"),
        ("refuse=66", "refused, as its source asks"),
        ("crash_on_load=1", "exited with code 1"),
        ("delay_ms=nonsense", "a number, 0 or more, is expected"),
    ],
)
async def test_a_revision_that_fails_changes_nothing(options: str, reason: str) -> None:
    """Neither its own model changes, nor the valid one of the same configuration."""
    async with running(A, B) as fleet:
        before = pids(fleet.status())
        bad = spec("b", options, aliases=("z",))
        with pytest.raises(RevisionFailed, match=rf"model 'b': .*{reason}"):
            await fleet.apply([spec("a", "delay_ms=1", default=True), bad, spec("c")])
        assert fleet.coming() == ()
        assert pids(fleet.status()) == before
        assert [fleet.resolve(name) for name in (None, "x")] == ["a", "b"]
        with pytest.raises(UnknownModel):
            fleet.resolve("z")
        await until(lambda: not fleet.leaving())
        await rerank(fleet, "x")


async def test_a_revision_that_is_not_ready_in_time_changes_nothing() -> None:
    policy = FleetPolicy(reload_seconds=0.3)
    async with running(A, policy=policy) as fleet:
        with pytest.raises(
            RevisionFailed, match=r"'a': it is not ready after 0\.3 s: raise superv"
        ):
            await fleet.apply([spec("a", "load_ms=60000", default=True)])
        await until(lambda: not fleet.leaving())
        await rerank(fleet)


async def test_while_a_revision_loads_the_old_one_serves() -> None:
    async with running(A) as fleet:
        applying = asyncio.create_task(fleet.apply([spec("a", "load_ms=3000", default=True)]))
        await until(lambda: [model.state for model in fleet.coming()] == ["loading"])
        before = pids(fleet.status())
        assert set(pids(fleet.coming()).values()).isdisjoint(before.values())
        await rerank(fleet)
        assert not applying.done()
        assert pids(fleet.status()) == before
        await applying
        assert pids(fleet.status()) != before


async def test_admitted_requests_are_finished_by_the_revision_that_admitted_them() -> None:
    """Both those inside its shard and those that still wait in its queue."""
    slow = spec("a", "delay_ms=400", default=True)
    one_by_one = replace(slow, shards=(replace(slow.shards[0], token_budget=1),))
    async with running(one_by_one) as fleet:  # forty requests take sixteen seconds
        old = fleet.model("a")
        requests = [asyncio.create_task(rerank(fleet)) for _ in range(40)]
        await until(lambda: old.status().queue > 0 and old.status().shards[0].queue > 0)
        await fleet.apply([A])
        assert fleet.model("a") is not old
        assert [model.state for model in fleet.leaving()] == ["draining"]
        await asyncio.gather(*requests)
        await until(lambda: not fleet.leaving())
        assert old.status().state == "drained"
        assert old.status().shards[0].documents == 40


def two(options: str = "", max_length: int = 0) -> ModelSpec:
    """Return a model with two shards, of which the second is special."""
    first = replace(A.shards[0], name="a/cpu:0#1")
    second = replace(first, name="a/cpu:0#2", source=f"fake?{options}", max_length=max_length)
    return replace(A, shards=(first, second))


async def test_a_revision_serves_when_all_its_shards_are_ready() -> None:
    async with running(A) as fleet:
        await fleet.apply([two("load_ms=500")])
        shards = fleet.status()[0].shards
        assert [(shard.state, shard.documents) for shard in shards] == [("ready", 0), ("ready", 0)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (two("refuse=75"), "refused, as its source asks"),
        (two(max_length=4), "it cannot score a pair: .*query"),
    ],
)
async def test_a_revision_with_one_bad_shard_does_not_serve(bad: ModelSpec, reason: str) -> None:
    async with running(A) as fleet:
        with pytest.raises(RevisionFailed, match=reason):
            await fleet.apply([bad])
        assert len(fleet.status()[0].shards) == 1


async def test_a_model_is_started_anew_when_asked() -> None:
    async with running(A, B) as fleet:
        before = pids(fleet.status())
        found = await fleet.apply([A, B], again={"b"})
        assert (found.changed, found.kept) == (("b",), ("a",))
        after = pids(fleet.status())
        assert after["a/cpu:0"] == before["a/cpu:0"]
        assert after["b/cpu:0"] != before["b/cpu:0"]


async def test_a_drained_model_finishes_and_refuses_until_it_is_reloaded() -> None:
    async with running(spec("a", "delay_ms=2500", default=True), B) as fleet:
        request = asyncio.create_task(rerank(fleet))
        await until(lambda: fleet.status()[0].shards[0].queue == 1)
        fleet.drain("a")
        assert fleet.status()[0].state == "draining"
        with pytest.raises(ModelDrained, match="gateway reload a") as refusal:
            await rerank(fleet)
        assert refusal.value.retry_after_seconds
        await request
        await until(lambda: fleet.status()[0].state == "drained")
        assert fleet.status()[0].shards[0].pid is None
        await rerank(fleet, "b")
        await fleet.apply(fleet.specs)
        assert fleet.status()[0].state == "drained"
        await fleet.apply(fleet.specs, again={"a"})
        await rerank(fleet)


async def test_revisions_that_have_ended_are_forgotten() -> None:
    async with running(A) as fleet:
        revisions = [weakref.ref(fleet.model("a"))]
        for turn in range(3):
            await fleet.apply([spec("a", f"delay_ms={turn + 1}", default=True)])
            revisions.append(weakref.ref(fleet.model("a")))
        await until(lambda: not fleet.leaving())
        gc.collect()
        assert [revision() is not None for revision in revisions] == [False, False, False, True]


async def test_a_cancelled_change_leaves_nothing() -> None:
    async with running(A) as fleet:
        applying = asyncio.create_task(fleet.apply([spec("a", "load_ms=60000", default=True)]))
        await until(lambda: bool(fleet.coming()))
        applying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await applying
        assert fleet.coming() == ()
        await until(lambda: not fleet.leaving())
        await rerank(fleet)


async def test_a_stop_ends_revisions_that_start_and_that_drain() -> None:
    async with running(spec("a", "delay_ms=8000", default=True)) as fleet:
        request = asyncio.create_task(rerank(fleet))
        await until(lambda: fleet.status()[0].shards[0].queue == 1)
        await fleet.apply([A])
        applying = asyncio.create_task(fleet.apply([spec("a", "load_ms=60000", default=True)]))
        await until(lambda: bool(fleet.coming()) and bool(fleet.leaving()))
        applying.cancel()
        await fleet.stop()
        await request
        with pytest.raises(asyncio.CancelledError):
            await applying
