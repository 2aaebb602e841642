"""A replica that errs, endless losses, and work for clients that have left."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from tests.system.running import Gateway, Ledger, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
crash_limit = 1000
ejection_seconds = 0.3
[models.fake]
source = "fake?delay_ms=2"
engine = "fake"
replicas = {replicas}
"""


async def _until_ejected(gateway: Gateway) -> dict[str, Any]:
    shards = await gateway.until(lambda shards: any(map(_was_ejected, shards.values())))
    (shard,) = filter(_was_ejected, shards.values())
    return dict(shard)


def _was_ejected(shard: dict[str, Any]) -> bool:
    return bool(shard["ejections"])


async def test_a_replica_that_errs_is_ejected_probed_and_trusted_again(tmp_path: Path) -> None:
    """No request fails: another replica scores the jobs that it cannot."""
    async with running(_CONFIG.format(replicas=2), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=1)
        async with ledger.load(clients=16):
            assert (await gateway.rerank(["<<break 7>>"]))[0] == 200
            bad = await _until_ejected(gateway)
            shards = await gateway.until(
                lambda shards: (
                    shards[bad["name"]]["errors"] == 7
                    and shards[bad["name"]]["trust"] not in {"ejected", "probed"}
                )
            )
        ledger.assert_all_right()
        ejections = shards[bad["name"]]["ejections"]
        assert 1 <= ejections <= 3  # at five errors, then at one each when probed
        assert sum(shard["restarts"] for shard in shards.values()) == 0
        assert sum(shard["errors"] for shard in shards.values()) == 7
        assert await gateway.metric("reranker_shard_ejections_total") == ejections
        assert await gateway.metric("reranker_shard_errors_total") == 7
        assert await gateway.metric("reranker_jobs_retried_total") == 7
        assert "is ejected for a while" in gateway.log.read_text()


async def test_an_ejected_replica_warns_and_gets_no_jobs(tmp_path: Path) -> None:
    config = _CONFIG.format(replicas=2).replace("ejection_seconds = 0.3", "ejection_seconds = 600")
    async with running(config, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=1)
        async with ledger.load(clients=16):
            assert (await gateway.rerank(["<<break 1000>>"]))[0] == 200
            name = (await _until_ejected(gateway))["name"]
        ledger.assert_all_right()
        await gateway.until(lambda shards: not any(shard["queue"] for shard in shards.values()))
        before = (await gateway.shards())[name]
        assert before["trust"] == "ejected"
        assert "that another replica scored: it gets none for" in before["warnings"][0]
        assert await gateway.metric("reranker_shard_ejected") == 1
        for number in range(20):
            await ledger.send(number)
        ledger.assert_all_right()
        assert (await gateway.shards())[name]["errors"] == before["errors"]


async def test_texts_that_fail_everywhere_eject_no_replica(tmp_path: Path) -> None:
    async with running(_CONFIG.format(replicas=2), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        for _ in range(40):
            assert (await gateway.rerank(["<<raise>>"]))[0] == 500
        for shard in (await gateway.shards()).values():
            assert (shard["errors"], shard["ejections"]) == (0, 0)


async def test_the_last_replica_is_never_ejected(tmp_path: Path) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        await gateway.rerank(["<<break 30>>"])
        statuses = [(await gateway.rerank([f"document {number}"]))[0] for number in range(31)]
        assert statuses == [500] * 30 + [200]
        assert (await gateway.shards())["fake/cpu:0"]["ejections"] == 0


async def test_endless_losses_exhaust_the_retry_budget(tmp_path: Path) -> None:
    """The shard is killed whenever it has a job, and the budget allows none a second time.

    Budgets that fill again in time are in `tests/gateway/scheduling/test_retry_budget.py`.
    """
    config = (
        _CONFIG.format(replicas=1)
        .replace("delay_ms=2", "delay_ms=3000")
        .replace("[models", "retries_per_second = 0\nretry_share = 0.0\n[models")
    )
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        request = asyncio.create_task(gateway.rerank(["never scored"], timeout_seconds=240))
        while not request.done():
            shard = (await gateway.shards())["fake/cpu:0"]
            if shard["queue"] and shard["pid"]:
                os.kill(shard["pid"], signal.SIGKILL)
            await asyncio.sleep(0.02)
        status, body, headers = await request
        assert (status, body["error"]["code"]) == (503, "retry_budget")
        assert "supervision.retry_share" in body["message"]
        assert int(headers["Retry-After"]) >= 1
        model = (await gateway.models())["fake"]
        assert (model["retries"], model["retries_refused"]) == (0, 1)
        assert await gateway.metric("reranker_retries_refused_total") == 1


async def test_tokens_computed_for_clients_that_left_are_counted(tmp_path: Path) -> None:
    config = _CONFIG.format(replicas=1).replace("delay_ms=2", "delay_ms=1000")
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        left = wasted = 0
        while not wasted:  # a client that leaves before its batch has begun costs nothing
            leaver = asyncio.create_task(gateway.rerank(["a document of six words"]))
            await gateway.until(
                lambda shards, asked=leaver: (  # type: ignore[misc]
                    shards["fake/cpu:0"]["queue"] == 1 or asked.done()
                )
            )
            leaver.cancel()
            left += 1
            shards = await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] == 0)
            wasted = shards["fake/cpu:0"]["wasted_tokens"]
        assert wasted == 7
        assert await gateway.metric("reranker_wasted_tokens_total") == 7
        cancelled = await gateway.metric("reranker_jobs_cancelled_total")
        assert 1 <= cancelled <= left  # a client that leaves after the answer cancels nothing
