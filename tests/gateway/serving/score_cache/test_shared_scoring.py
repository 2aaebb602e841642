"""Requests that share scores, with real shards of the fake engine: each pair is scored once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config import ModelSpec
from gateway.domain.errors import DeadlineExceeded, ModelDrained
from gateway.domain.request import Document, RerankRequest, RerankResult
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.score_cache import NO_USE, READS_AND_KEEPS, CacheUse, ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.score_cache_status import ScoreStoreStatus
from shards.engines.fake import margin
from shards.wire.messages import Canary
from tests.gateway.serving.test_fleet import PATIENCE_SECONDS, running, spec, until

TEXTS = tuple(f"document {number}" for number in range(8))
SLOW = spec("a", "delay_ms=1500", default=True)


class Sharing:
    """A fleet with a score cache."""

    def __init__(self, fleet: Fleet, cache: ScoreCache | None = None) -> None:
        self.fleet = fleet
        self.cache = cache or ScoreCache(1, 3600.0)
        self._reranker = Reranker(Shadows(fleet, Metrics()), self.cache)

    async def rerank(
        self,
        texts: Sequence[str] = TEXTS,
        query: str = "q",
        *,
        seconds: float = PATIENCE_SECONDS,
        use: CacheUse = READS_AND_KEEPS,
    ) -> RerankResult:
        """Score documents, and check their scores and their order."""
        request = RerankRequest(queries=(query,), documents=tuple(map(Document, texts)))
        result = await self._reranker.rerank(
            request,
            model=self.fleet.model("a"),
            request_id="1",
            deadline=time.monotonic() + seconds,
            use=use,
        )
        assert [document.margin for document in result.scored] == [margin(query, t) for t in texts]
        assert [document.index for document in result.scored] == list(range(len(texts)))
        return result

    @property
    def computed(self) -> int:
        """The number of documents that the shards have scored."""
        return sum(shard.documents for shard in self.fleet.status()[0].shards)

    @property
    def stores(self) -> tuple[ScoreStoreStatus, ...]:
        return self.cache.status(self.fleet.models).stores

    async def until_flying(self) -> None:
        await until(lambda: len(self.cache.flights) > 0)


@asynccontextmanager
async def sharing(model: ModelSpec = SLOW) -> AsyncIterator[Sharing]:
    async with running(model) as fleet:
        yield Sharing(fleet)


def sources(result: RerankResult) -> Counter[str]:
    return Counter(document.source for document in result.scored)


async def test_each_pair_is_scored_once() -> None:
    async with sharing(spec("a", default=True)) as shared:
        first = await shared.rerank([*TEXTS, *TEXTS[:3]])
        assert sources(first) == {"computed": 8, "duplicate": 3}
        assert first.saved_tokens == 3 * first.scored[0].tokens
        again = await shared.rerank([*TEXTS[:5], "new"])
        assert sources(again) == {"memory": 5, "computed": 1}
        assert shared.computed == 9
        assert [d.tokens for d in again.scored[:5]] == [d.tokens for d in first.scored[:5]]
        assert sources(await shared.rerank(query="another")) == {"computed": 8}

        # A request may refuse kept scores, and keep its own; or neither.
        fresh = await shared.rerank(use=CacheUse(reads=False))
        assert sources(fresh) == {"computed": 8}
        assert sources(await shared.rerank(["secret"], use=NO_USE)) == {"computed": 1}
        assert sources(await shared.rerank(["secret"])) == {"computed": 1}

        (counts,) = shared.cache.status(shared.fleet.models).models
        assert (counts.computed, counts.duplicate, counts.memory) == (27, 3, 5)
        assert counts.hit_rate == pytest.approx(8 / 35, abs=1e-4)
        assert counts.saved_seconds >= 0
        shared.cache.clear(shared.fleet.model("a"))
        assert sources(await shared.rerank()) == {"computed": 8}
        shared.cache.clear()
        assert shared.cache.entries == 0
        assert sources(await shared.rerank()) == {"computed": 8}


async def test_requests_at_the_same_time_share_one_computation() -> None:
    async with sharing() as shared:
        results = await asyncio.gather(*(shared.rerank() for _ in range(16)))
        assert shared.computed == len(TEXTS)
        found = Counter(source for result in results for source in sources(result).elements())
        assert found == {"computed": 8, "joined": 15 * 8}


async def test_a_part_of_a_request_is_joined_and_the_rest_is_its_own() -> None:
    async with sharing() as shared:
        first = asyncio.create_task(shared.rerank())
        await shared.until_flying()
        second = await shared.rerank([*TEXTS[4:], "own", "own"])
        assert sources(second) == {"joined": 4, "computed": 1, "duplicate": 1}
        await first
        assert shared.computed == 9


async def test_the_work_goes_on_for_others_when_its_first_client_leaves() -> None:
    async with sharing() as shared:
        first = asyncio.create_task(shared.rerank())
        await shared.until_flying()
        second = asyncio.create_task(shared.rerank())
        await asyncio.sleep(0)  # the second request joins
        first.cancel()
        assert sources(await second) == {"joined": 8}
        assert shared.computed == 8


async def test_a_job_is_withdrawn_when_its_last_client_leaves() -> None:
    async with sharing() as shared:
        both = [asyncio.create_task(shared.rerank()) for _ in range(2)]
        await shared.until_flying()
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        await until(lambda: len(shared.cache.flights) == 0)
        model = shared.fleet.model("a")
        model.drain()  # which waits for every request that is still counted in
        await until(lambda: model.status().state == "drained")
        with pytest.raises(ModelDrained):
            await shared.rerank(["other"])


async def test_a_model_out_of_service_answers_with_no_kept_score() -> None:
    async with sharing(spec("a", default=True)) as shared:
        await shared.rerank()
        shared.fleet.model("a").drain()
        with pytest.raises(ModelDrained):
            await shared.rerank()


async def test_a_failed_canary_forgets_all_scores() -> None:
    """Scores may have been wrong for a while before it."""
    async with sharing() as shared:
        flying = asyncio.create_task(shared.rerank(query="flying"))
        await shared.until_flying()
        await shared.rerank()
        (shard,) = shared.fleet.model("a").replicas
        await flying
        flying = asyncio.create_task(shared.rerank(query="in between"))
        await shared.until_flying()
        failed = Canary("full", False, "", "fp32", (), (), ("another score than before",), 1)
        shard.canary.record(failed)
        await flying
        for query in ("q", "flying", "in between"):
            assert sources(await shared.rerank(query=query)) == {"computed": 8}
            assert sources(await shared.rerank(query=query)) == {"memory": 8}


async def test_every_request_keeps_its_own_deadline() -> None:
    async with sharing(spec("a", "delay_ms=3000", default=True)) as shared:
        first = asyncio.create_task(shared.rerank())
        await shared.until_flying()
        with pytest.raises(DeadlineExceeded):
            await shared.rerank(seconds=0.1)
        await first
        # The deadline of the first one ends its job; the second one scores the pairs itself.
        short = asyncio.create_task(shared.rerank(query="x", seconds=1.5))
        await shared.until_flying()
        long = await shared.rerank(query="x")
        with pytest.raises(DeadlineExceeded):
            await short
        assert set(sources(long)) <= {"computed", "joined"}


async def test_a_lost_shard_costs_none_of_the_requests_that_share_its_job() -> None:
    async with sharing() as shared:
        requests = [asyncio.create_task(shared.rerank()) for _ in range(4)]
        await shared.until_flying()
        (shard,) = shared.fleet.status()[0].shards
        assert shard.pid is not None
        os.kill(shard.pid, signal.SIGKILL)
        for result in await asyncio.gather(*requests):
            assert set(sources(result)) <= {"computed", "joined"}


async def test_a_model_can_do_without() -> None:
    async with sharing(replace(spec("a", default=True), score_cache=False)) as shared:
        for _ in range(2):
            result = await shared.rerank(["a", "a"])
            assert sources(result) == {"computed": 2}
            assert result.sources == {}
        assert shared.computed == 4
        assert shared.cache.status(shared.fleet.models).models == ()


async def test_another_revision_shares_no_score() -> None:
    async with sharing(spec("a", default=True)) as shared:
        await shared.rerank()
        await shared.fleet.apply([spec("a", default=True)], again=("a",))
        assert sources(await shared.rerank()) == {"computed": 8}
        assert sources(await shared.rerank()) == {"memory": 8}
