"""Shadows with real shards of the fake engine: what they find, and whom they never trouble."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gateway import shadows as module
from gateway.config import ModelSpec, ShadowSpec
from gateway.domain import Document, RerankRequest, RerankResult
from gateway.fleet import Fleet
from gateway.metrics import Metrics
from gateway.reranker import Reranker
from gateway.shadows import Shadows
from gateway.status import ShadowStatus, ShardStatus
from shards.engines.fake import margin
from tests.gateway.test_fleet import PATIENCE_SECONDS, pids, running, spec, until

TEXTS = tuple(f"document {number}" for number in range(20))
SHADOWED = replace(spec("a", default=True), shadow=ShadowSpec(model="b", percent=100))


class Watched:
    """A fleet with shadows, and what the metrics count of them."""

    def __init__(self, fleet: Fleet, draw: Callable[[], float] = lambda: 0.0) -> None:
        self.fleet = fleet
        self.metrics = Metrics()
        self.shadows = Shadows(fleet, self.metrics, draw)
        self.reranker = Reranker(fleet, self.shadows)

    async def rerank(
        self, model: str = "a", query: str = "q", texts: tuple[str, ...] = TEXTS
    ) -> RerankResult:
        """Score documents and see that the scores are those of the model that was asked."""
        request = RerankRequest(
            queries=(query,), documents=tuple(map(Document, texts)), model=model
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        result = await self.reranker.rerank(request, request_id="1", deadline=deadline)
        assert (result.model, result.warnings) == (model, ())
        assert [abs(one.margin) for one in result.scored] == [abs(margin(query, t)) for t in texts]
        return result

    @property
    def status(self) -> ShadowStatus:
        (one,) = self.shadows.status()
        return one

    def counted(self, outcome: str) -> float:
        labels = {"model": "a", "shadow": "b", "outcome": outcome}
        name = "reranker_shadow_requests_total"
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def until_done(self) -> ShadowStatus:
        await until(lambda: self.status.waiting == 0)
        return self.status


def specs(options: str = "") -> tuple[ModelSpec, ModelSpec]:
    return SHADOWED, spec("b", options)


async def test_two_models_that_agree() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        for number in range(3):
            await watched.rerank(query=f"q{number}")
        found = await watched.until_done()
        assert (found.compared, found.dropped, found.failed) == (3, 0, 0)
        assert (found.agreement.requests, found.agreement.tau) == (3, 1.0)
        assert (found.agreement.top1, found.agreement.overlap) == (1.0, 1.0)
        assert watched.counted("compared") == 3


async def test_two_models_that_disagree_and_one_is_slow() -> None:
    async with running(*specs("inverted=1&delay_ms=3")) as fleet:
        watched = Watched(fleet)
        await watched.rerank()
        found = (await watched.until_done()).agreement
        assert (found.tau, found.top1, found.overlap) == (-1.0, 0.0, 0.0)
        assert found.latency_ratio is not None
        assert found.latency_ratio > 1


async def test_its_work_is_in_nobodys_count() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        alone = replace(SHADOWED, shadow=None)
        result = await watched.rerank()
        assert (await watched.until_done()).compared == 1
        (shard,) = next(one for one in fleet.status() if one.name == "b").shards
        assert (shard.documents, shard.tokens) == (0, 0)
        await fleet.apply([alone, spec("b")])
        assert (await watched.rerank()).tokens == result.tokens
        assert watched.shadows.status() == ()


async def test_only_what_is_drawn_is_compared() -> None:
    draws: Iterator[float] = iter([0.0, 0.2, 0.04999, 0.05, 0.9])
    async with running(
        replace(SHADOWED, shadow=ShadowSpec(model="b", percent=5)), spec("b")
    ) as fleet:
        watched = Watched(fleet, lambda: next(draws))
        for _ in range(5):
            await watched.rerank()
        await watched.rerank(model="b")
        await watched.rerank(texts=("one",))
        assert (await watched.until_done()).compared == 2


@pytest.mark.parametrize("busy", ["a", "b"])
async def test_it_waits_while_a_client_is_in_a_model_on_its_device(busy: str) -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.making_way(busy):
            await watched.rerank(texts=("one", "two"))
            for number in range(50):  # it would have had its turn long ago
                await watched.rerank(model="b", query=f"q{number}", texts=("one", "two"))
            await watched.rerank()
            assert (watched.status.waiting, watched.status.compared) == (2, 0)
        assert (await watched.until_done()).compared == 2


async def test_it_does_not_wait_for_models_elsewhere() -> None:
    shard = replace(spec("c").shards[0], device="cpu:1")
    async with running(*specs(), replace(spec("c"), shards=(shard,))) as fleet:
        watched = Watched(fleet)
        with watched.shadows.making_way("c"):
            await watched.rerank()
            assert (await watched.until_done()).compared == 1


async def test_what_does_not_fit_is_dropped_and_the_rest_is_compared() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.making_way("b"):
            for number in range(20):
                await watched.rerank(query=f"q{number}")
            assert (watched.status.waiting, watched.status.dropped) == (16, 4)
        assert (await watched.until_done()).compared == 16
        assert watched.counted("dropped") == 4


async def test_large_requests_are_dropped() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        await watched.rerank(texts=tuple(f"d{number}" for number in range(1001)))
        await watched.rerank(texts=("x" * 600_000, "y" * 600_000))
        assert (watched.status.dropped, watched.status.waiting) == (2, 0)


async def test_who_was_never_idle_drops_and_who_does_not_answer_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.making_way("b"):
            await watched.rerank()
            found = await watched.until_done()
            assert (found.dropped, found.failed) == (1, 0)
        pid = pids(fleet.status())["b/cpu:0"]
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await watched.rerank()
            found = await watched.until_done()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (found.dropped, found.failed, found.last_error) == (1, 1, "no answer in time")
        fleet.model("b").drain()
        await watched.rerank()
        assert watched.status.dropped == 2


async def test_a_shadow_that_dies_costs_its_own_request_and_no_other() -> None:
    async with running(*specs("delay_ms=30")) as fleet:
        watched = Watched(fleet)
        pid = pids(fleet.status())["b/cpu:0"]
        assert pid is not None
        await watched.rerank()
        await until(lambda: _shard(fleet, "b").queue > 0)
        os.kill(pid, signal.SIGKILL)
        found = await watched.until_done()
        assert (found.compared, found.failed) == (0, 1)
        assert "SIGKILL" in found.last_error
        await watched.rerank()
        await until(lambda: _shard(fleet, "b").state == "ready")
        await watched.rerank()
        assert (await watched.until_done()).compared >= 1
        assert {one.name: one.retries for one in fleet.status()} == {"a": 0, "b": 0}


def _shard(fleet: Fleet, model: str) -> ShardStatus:
    return next(one.shards[0] for one in fleet.status() if one.name == model)


async def test_another_edition_is_another_comparison() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        await watched.rerank()
        assert (await watched.until_done()).compared == 1
        less = replace(SHADOWED, shadow=ShadowSpec(model="b", percent=50))
        await fleet.apply([less, spec("b")])
        assert (watched.status.compared, watched.status.percent) == (1, 50)
        await fleet.apply([less, spec("b", "inverted=1")])
        assert watched.status.compared == 0
        await watched.rerank()
        found = await watched.until_done()
        assert (found.compared, found.agreement.tau) == (1, -1.0)
        assert watched.counted("compared") == 2


async def test_stopping_gives_up_what_is_under_way() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.making_way("b"):
            await watched.rerank()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await watched.shadows.stop()
            assert watched.status.waiting == 0


async def test_a_request_is_answered_though_a_reload_takes_its_model_and_shadow_apart() -> None:
    slow = replace(SHADOWED, shards=spec("a", "delay_ms=500").shards)
    async with running(slow, spec("b")) as fleet:
        watched = Watched(fleet)
        asking = asyncio.create_task(watched.rerank())
        await until(lambda: _shard(fleet, "a").queue > 0)
        await fleet.apply(
            [replace(spec("b"), default=True)]
        )  # nothing to start: it is done at once
        assert not asking.done()
        assert len((await asking).scored) == len(TEXTS)
        assert watched.shadows.status() == ()
