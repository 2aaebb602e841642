"""Models under a budget of memory, with real shards that hold memory: RSS, evictions, waits."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import ModelSpec, ShadowSpec
from gateway.domain.errors import ModelUnavailable
from gateway.domain.request import Document, RerankRequest, RerankResult
from gateway.scheduling.memory_plan import Rules
from gateway.scheduling.memory_room import Room
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.revision_check import RevisionFailed
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics
from tests.gateway.serving.test_fleet import PATIENCE_SECONDS, POLICY, rerank, until
from tests.gateway.serving.test_idle_unloading import lazy, status, until_gone, until_state

HASTY = Rules(stay_seconds=0.0, cool_seconds=0.0, patience_seconds=0.0)
LONG = Rules(stay_seconds=1000.0, cool_seconds=0.0, patience_seconds=1000.0)


def holder(name: str, options: str = "", *, holds: int = 60, loads: int = 0) -> ModelSpec:
    """Return a model of so many MiB, and so many more while it loads, stated with its process."""
    memory = f"memory_mb={holds}&load_memory_mb={loads}&{options}".rstrip("&")
    return replace(lazy(name, memory), memory_mb=holds + loads + 50)


@asynccontextmanager
async def running(budget_mb: int, *specs: ModelSpec, rules: Rules = HASTY) -> AsyncIterator[Fleet]:
    room = Room(budget_mb << 20, rules=rules)
    fleet = Fleet(specs, replace(POLICY, room=room), Metrics())
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


def resident(fleet: Fleet) -> int:
    """Return the resident memory of all shards."""
    pages = 0
    for model in fleet.status():
        for shard in model.shards:
            with suppress(OSError, IndexError):
                pages += int(Path(f"/proc/{shard.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def watched(fleet: Fleet) -> AsyncIterator[list[int]]:
    """Read the memory of all shards again and again while the block runs."""
    found: list[int] = []

    async def watch() -> None:
        while True:
            found.append(resident(fleet))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()


async def rerank_within(fleet: Fleet, name: str, seconds: float) -> RerankResult:
    request = RerankRequest(queries=("q",), documents=(Document("d"),))
    return await Reranker(Shadows(fleet, Metrics()), ScoreCache(0, 1.0)).rerank(
        request,
        model=fleet.model(name),
        request_id="1",
        deadline=time.monotonic() + seconds,
    )


def ready(fleet: Fleet) -> set[str]:
    return {model.name for model in fleet.status() if model.state == "ready"}


async def test_many_models_take_turns_in_a_budget_that_their_memory_never_exceeds() -> None:
    specs = [holder(name, loads=20) for name in "abcdef"]
    async with running(300, *specs) as fleet, watched(fleet) as memory:
        order = random.Random(1).choices("abcdef", k=30)
        for start in range(0, 30, 5):
            results = await asyncio.gather(*[rerank(fleet, name) for name in order[start:][:5]])
            assert [result.model for result in results] == order[start:][:5]
        loads = {model.name: model.loads for model in fleet.status()}
        evictions = sum(sum(model.evictions.values()) for model in fleet.status())
        loaded = sum(model.presence.is_wanted for model in fleet.models)
        assert evictions == sum(loads.values()) - loaded
        assert evictions > 0
    assert max(memory) <= 300 << 20
    assert max(memory) > 150 << 20, "two fit beside each other"


async def test_the_peak_of_a_load_counts_as_it_was_measured() -> None:
    """Both would fit when they are loaded, and the load of one beside the other does not."""
    specs = [replace(holder(name, holds=50, loads=100), memory_mb=10) for name in "ab"]
    async with running(250, specs[0], specs[1]) as fleet:
        await rerank(fleet, "a")
        async with watched(fleet) as memory:
            for name in "baba":
                await rerank(fleet, name)
                assert ready(fleet) == {name}
        assert max(memory) <= 250 << 20


async def test_the_model_that_was_used_least_lately_is_evicted() -> None:
    async with running(250, holder("a"), holder("b"), holder("c")) as fleet:
        for name in "aba":
            await rerank(fleet, name)
        await rerank(fleet, "c")
        await until_gone(fleet, "b")
        assert ready(fleet) == {"a", "c"}
        assert dict(status(fleet, "b").evictions) == {"room": 1}
        assert status(fleet, "c").room_waits == 1


async def test_a_model_with_work_finishes_it_before_it_makes_way_and_its_new_requests_wait() -> (
    None
):
    async with running(150, holder("a", "delay_ms=1500"), holder("b")) as fleet:
        await rerank(fleet, "a")
        first = asyncio.create_task(rerank(fleet, "a"))
        await until(lambda: bool(fleet.model("a").admitted_tokens))
        other = asyncio.create_task(rerank(fleet, "b"))
        await until(lambda: status(fleet, "a").makes_way)
        assert status(fleet, "b").waits_for_room.endswith("held by: a")
        second = asyncio.create_task(rerank(fleet, "a"))
        await other
        assert first.done()
        await asyncio.gather(first, second)
        assert (status(fleet, "a").loads, status(fleet, "b").loads) == (2, 1)


async def test_a_request_that_cannot_wait_for_room_is_told_the_budget_and_a_time() -> None:
    async with running(150, holder("a"), holder("b"), rules=LONG) as fleet:
        await rerank(fleet, "a")
        with pytest.raises(ModelUnavailable) as refused:
            await rerank_within(fleet, "b", 30.0)
        assert "of the machine's 150 MiB for all models" in refused.value.message
        assert "held by 1 other, for about" in refused.value.message
        assert "held by: a" in refused.value.cause
        assert "'a'" not in refused.value.message
        assert refused.value.retry_after_seconds is not None
        assert 800 <= refused.value.retry_after_seconds <= 1000
        assert ready(fleet) == {"a"}


async def test_a_request_whose_time_ends_behind_a_model_with_work_is_told_the_budget() -> None:
    async with running(150, holder("a", "delay_ms=2000"), holder("b"), rules=LONG) as fleet:
        await rerank(fleet, "a")
        working = asyncio.create_task(rerank(fleet, "a"))
        await until(lambda: bool(fleet.model("a").admitted_tokens))
        with pytest.raises(ModelUnavailable, match="memory_budget"):
            await rerank_within(fleet, "b", 0.1)
        await working


async def test_a_model_that_never_fits_is_refused_at_once_with_the_figures() -> None:
    large = replace(holder("b"), memory_mb=500)
    async with running(150, holder("a"), large) as fleet:
        with pytest.raises(ModelUnavailable, match="takes 500 MiB, and the machine has 150 MiB"):
            await rerank_within(fleet, "b", PATIENCE_SECONDS)
        await until_state(fleet, "idle", "b")
        assert status(fleet, "b").loads == 0
        await rerank(fleet, "a")


async def test_a_model_that_stays_loaded_is_never_evicted() -> None:
    kept = replace(holder("a"), load="start")
    async with running(250, kept, holder("b"), holder("c")) as fleet:
        for name in "abcbc":
            await rerank(fleet, name)
        assert (status(fleet, "a").loads, dict(status(fleet, "a").evictions)) == (1, {})


async def test_more_memory_than_was_stated_is_given_back() -> None:
    """The first load shows that both do not fit; the idle one leaves."""
    sizes = {"a": 100, "b": 110}
    specs = [replace(holder(name, holds=mib), memory_mb=40) for name, mib in sizes.items()]
    async with running(200, *specs, rules=LONG) as fleet:
        await rerank(fleet, "a")
        await rerank(fleet, "b")
        await until(lambda: len(ready(fleet)) == 1)
        evictions = [dict(model.evictions) for model in fleet.status()]
        assert sorted(evictions, key=len) == [{}, {"excess": 1}]


async def test_a_place_in_line_is_given_up_when_no_request_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.scheduling.memory_occupant._KEEP_SECONDS", 0.5)
    async with running(150, holder("a"), holder("b"), rules=LONG) as fleet:
        await rerank(fleet, "a")
        with pytest.raises(ModelUnavailable):
            await rerank_within(fleet, "b", 10.0)
        assert status(fleet, "b").waits_for_room
        await until_state(fleet, "idle", "b")
        assert (status(fleet, "b").waits_for_room, status(fleet, "b").loads) == ("", 0)


async def test_a_gateway_that_ends_while_a_model_waits_for_room_waits_for_nothing() -> None:
    async with running(150, holder("a"), holder("b"), rules=LONG) as fleet:
        await rerank(fleet, "a")
        waiting = asyncio.create_task(rerank_within(fleet, "b", 2000.0))
        await until(lambda: bool(status(fleet, "b").queue))
    with pytest.raises(ModelUnavailable):
        await waiting


async def test_a_shadow_takes_free_room_and_evicts_nothing() -> None:
    first = replace(holder("a"), shadow=ShadowSpec(model="b", percent=100.0))
    async with running(150, first, holder("b")) as fleet:
        shadows = Shadows(fleet, Metrics(), draw=lambda: 0.0)
        request = RerankRequest(queries=("q",), documents=(Document("d"), Document("e")))
        for _ in range(2):
            await Reranker(shadows, ScoreCache(0, 1.0)).rerank(
                request,
                model=fleet.model("a"),
                request_id="1",
                deadline=time.monotonic() + PATIENCE_SECONDS,
            )
        assert shadows.status()[0].dropped == 2
        assert (ready(fleet), status(fleet, "b").loads) == ({"a"}, 0)
        await shadows.stop()


async def test_a_new_revision_needs_room_beside_the_old_one() -> None:
    async with running(150, holder("a"), holder("b")) as fleet:
        await rerank(fleet, "a")
        with pytest.raises(RevisionFailed, match="there is no room for it: it needs 110 MiB of"):
            await fleet.apply([holder("a", "delay_ms=1"), holder("b")])
        await rerank(fleet, "a")
        assert status(fleet, "a").loads == 1
        fleet.unload("a")
        await until_gone(fleet, "a")
        await fleet.apply([holder("a"), holder("b")], again=("a",))
        await rerank(fleet, "a")


async def test_requests_go_on_through_a_reload_while_their_model_makes_way() -> None:
    async with running(150, holder("a", "delay_ms=1000"), holder("b")) as fleet:
        await rerank(fleet, "a")
        first = asyncio.create_task(rerank(fleet, "a"))
        await until(lambda: bool(fleet.model("a").admitted_tokens))
        other = asyncio.create_task(rerank(fleet, "b"))
        await until(lambda: status(fleet, "a").makes_way)
        held = asyncio.create_task(rerank(fleet, "a"))
        await asyncio.sleep(0)
        await fleet.apply([replace(holder("c"), default=True), holder("b")])
        results = await asyncio.gather(first, other, held)
        assert [result.model for result in results] == ["a", "b", "a"]
