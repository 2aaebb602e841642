"""Routing of requests: names, replicas, the queue."""

import asyncio
from pathlib import Path

from tests.system.running import Ledger, running

_CONFIG = """
default_model = "second"
[models.first]
source = "fake"
engine = "fake"
aliases = ["rerank-english-v3.0"]
[models.second]
source = "fake?delay_ms=20"
engine = "fake"
replicas = 2
"""


async def test_models_are_found_by_name_and_alias_and_default(tmp_path: Path) -> None:
    async with running(_CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        for asked, served in [
            ("first", "first"),
            ("rerank-english-v3.0", "first"),
            ("second", "second"),
            (None, "second"),
        ]:
            _, body, _ = await gateway.rerank(["a"], model=asked)
            assert body["model"] == served
        status, body, _ = await gateway.rerank(["a"], model="third")
        assert status == 404
        assert "first, second" in body["message"]


async def test_a_large_request_is_split_over_all_replicas_and_merged(tmp_path: Path) -> None:
    async with running(_CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=3000)
        await ledger.send(1)
        ledger.assert_all_right()
        shards = await gateway.shards()
        done = [shards[f"second/cpu:0{suffix}"]["documents"] for suffix in ("", "#1")]
        assert sum(done) == 3000
        assert min(done) > 500


async def test_small_requests_do_not_wait_behind_a_large_one(tmp_path: Path) -> None:
    """A small request goes before the waiting batches of a large one: it needs three of sixty."""
    config = """
    [models.fake]
    source = "fake?delay_ms=300"
    engine = "fake"
    max_length = 512
    token_budget = 512
    """
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        large = asyncio.create_task(Ledger(gateway, documents=5000).send(1))
        await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] > 0)
        small = Ledger(gateway)
        await small.send(2)
        small.assert_all_right()
        assert not large.done()
        large.cancel()


async def test_more_work_than_may_wait_is_refused(tmp_path: Path) -> None:
    config = """
    [limits]
    queue_tokens = 2000
    [models.fake]
    source = "fake?delay_ms=300"
    engine = "fake"
    token_budget = 512
    max_length = 512
    """
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        texts = [f"{number}: " + "some words of a document " * 20 for number in range(8)]
        requests = [gateway.rerank(texts, query=f"q {number}") for number in range(12)]
        replies = await asyncio.gather(*requests)
        codes = [status for status, _, _ in replies]
        assert set(codes) == {200, 503}
        for status, body, headers in replies:
            if status == 503:
                assert body["error"]["code"] == "overloaded"
                assert "limits.queue_tokens" in body["message"]
                assert int(headers["Retry-After"]) >= 1
