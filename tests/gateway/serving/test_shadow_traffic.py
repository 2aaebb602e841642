"""Shadow traffic with real shards of the fake engine: its findings, and no delay of clients."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gateway.config import ModelSpec, ShadowSpec
from gateway.domain.request import Document, RerankRequest, RerankResult
from gateway.serving import shadow_traffic as module
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ShadowStatus, ShardStatus
from shards.engines.fake import margin
from tests.gateway.serving.test_fleet import PATIENCE_SECONDS, pids, running, spec, until

TEXTS = tuple(f"document {number}" for number in range(20))
SHADOWED = replace(spec("a", default=True), shadow=ShadowSpec(model="b", percent=100))


class Watched:
    """A fleet with shadow traffic, and its metrics."""

    def __init__(self, fleet: Fleet, draw: Callable[[], float] = lambda: 0.0) -> None:
        self.fleet = fleet
        self.metrics = Metrics()
        self.shadows = Shadows(fleet, self.metrics, draw)
        self.reranker = Reranker(self.shadows, ScoreCache(0, 1.0))

    async def rerank(
        self, model: str = "a", query: str = "q", texts: tuple[str, ...] = TEXTS
    ) -> RerankResult:
        """Score documents, and check that the scores are those of the requested model."""
        request = RerankRequest(
            queries=(query,), documents=tuple(map(Document, texts)), model=model
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        result = await self.reranker.rerank(
            request, model=self.fleet.model(model), request_id="1", deadline=deadline
        )
        assert (result.model, result.warnings) == (model, ())
        assert [abs(document.margin) for document in result.scored] == [
            abs(margin(query, t)) for t in texts
        ]
        return result

    @property
    def status(self) -> ShadowStatus:
        (status,) = self.shadows.status()
        return status

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
    async with running(*specs("inverted=1&delay_ms=200")) as fleet:
        watched = Watched(fleet)
        await watched.rerank()
        found = (await watched.until_done()).agreement
        assert (found.tau, found.top1, found.overlap) == (-1.0, 0.0, 0.0)
        assert found.latency_ratio is not None
        assert found.latency_ratio > 1


async def test_shadow_work_is_in_no_count() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        alone = replace(SHADOWED, shadow=None)
        result = await watched.rerank()
        assert (await watched.until_done()).compared == 1
        (shard,) = next(model for model in fleet.status() if model.name == "b").shards
        assert (shard.documents, shard.tokens) == (0, 0)
        await fleet.apply([alone, spec("b")])
        assert (await watched.rerank()).tokens == result.tokens
        assert watched.shadows.status() == ()


async def test_only_drawn_requests_are_compared() -> None:
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
async def test_a_shadow_waits_while_a_client_uses_a_model_on_its_device(busy: str) -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.paused_for(busy):
            await watched.rerank(texts=("one", "two"))
            for number in range(50):  # it would have had its turn long ago
                await watched.rerank(model="b", query=f"q{number}", texts=("one", "two"))
            await watched.rerank()
            assert (watched.status.waiting, watched.status.compared) == (2, 0)
        assert (await watched.until_done()).compared == 2


async def test_a_shadow_does_not_wait_for_models_on_other_devices() -> None:
    shard = replace(spec("c").shards[0], device="cpu:1")
    async with running(*specs(), replace(spec("c"), shards=(shard,))) as fleet:
        watched = Watched(fleet)
        with watched.shadows.paused_for("c"):
            await watched.rerank()
            assert (await watched.until_done()).compared == 1


async def test_requests_that_do_not_fit_are_dropped_and_the_rest_is_compared() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.paused_for("b"):
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


async def test_a_busy_shadow_drops_and_one_that_does_not_answer_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.paused_for("b"):
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
    async with running(*specs("delay_ms=300")) as fleet:
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
        assert {model.name: model.retries for model in fleet.status()} == {"a": 0, "b": 0}


def _shard(fleet: Fleet, model: str) -> ShardStatus:
    return next(found.shards[0] for found in fleet.status() if found.name == model)


async def test_another_revision_is_another_comparison() -> None:
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


async def test_stopping_cancels_comparisons() -> None:
    async with running(*specs()) as fleet:
        watched = Watched(fleet)
        with watched.shadows.paused_for("b"):
            await watched.rerank()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await watched.shadows.stop()
            assert watched.status.waiting == 0


async def test_a_request_is_answered_though_a_reload_takes_its_model_and_shadow_apart() -> None:
    slow = replace(SHADOWED, shards=spec("a", "delay_ms=2500").shards)
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
