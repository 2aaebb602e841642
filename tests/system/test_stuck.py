"""A shard that SIGKILL does not end: its jobs go elsewhere, it fails, and nothing waits for it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.system import operator
from tests.system.lingering import lingering
from tests.system.running import Gateway, Ledger, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
stop_seconds = 0.5
kill_seconds = 0.5
[models.fake]
source = "fake?delay_ms=2500"
engine = "fake"
replicas = {replicas}
"""


@asynccontextmanager
async def _stuck(gateway: Gateway) -> AsyncIterator[tuple[str, int, Callable[[], None]]]:
    """Kill a shard with a job, and keep it from ending; yield its name, its pid, its release."""
    await gateway.until_ready()
    ledger = Ledger(gateway)
    request = asyncio.create_task(ledger.send(1))
    shards = await gateway.until(lambda shards: any(shard["queue"] for shard in shards.values()))
    (name,) = [name for name, shard in shards.items() if shard["queue"]]
    pid = shards[name]["pid"]
    with lingering(pid) as let_go:
        os.kill(pid, signal.SIGKILL)
        await request
        ledger.assert_all_right()
        await gateway.until(lambda shards: shards[name]["state"] == "failed")
        yield name, pid, let_go


async def test_the_jobs_of_a_shard_that_cannot_be_ended_are_scored_elsewhere(
    tmp_path: Path,
) -> None:
    async with (
        running(_CONFIG.format(replicas=2), tmp_path) as gateway,
        _stuck(gateway) as (name, pid, let_go),
    ):
        assert await gateway.metric("reranker_jobs_retried_total") == 1
        shards = await gateway.shards()
        assert [shard["state"] for shard in shards.values() if shard["name"] != name] == ["ready"]
        assert (shards[name]["pid"], shards[name]["generation"]) == (pid, 1)
        assert f"process {pid} cannot be ended" in shards[name]["last_error"]
        assert "state: t (tracing stop)" in shards[name]["last_error"]
        assert f"process {pid} cannot be ended" in gateway.log.read_text()
        assert (await gateway.models())["fake"]["state"] == "degraded"
        ledger = Ledger(gateway)
        await asyncio.gather(*[ledger.send(number) for number in range(4)])
        ledger.assert_all_right()
        let_go()
        shards = await gateway.until_ready()
        assert (shards[name]["generation"], shards[name]["restarts"]) == (2, 1)
        assert not psutil.pid_exists(pid)


async def test_neither_a_reload_nor_a_stop_waits_for_a_stuck_shard(tmp_path: Path) -> None:
    config = _CONFIG.format(replicas=2)
    async with (
        running(config, tmp_path) as gateway,
        _stuck(gateway) as (_, pid, _let_go),
    ):
        before = await gateway.shards()
        changed = config.replace("delay_ms=2500", "delay_ms=1")
        assert (await operator.reload(gateway, tmp_path, changed))[0] == 0
        after = await gateway.until_ready()
        assert not set(operator.pids(after).values()) & set(operator.pids(before).values())
        gateway.signal(signal.SIGTERM)
        assert await gateway.wait() == 0
        assert psutil.pid_exists(pid)
        assert f"process {pid} is still there, and is left behind" in gateway.log.read_text()


async def test_a_stop_does_not_wait_for_a_shard_that_gets_stuck_at_it(tmp_path: Path) -> None:
    """The gateway has not noticed the kill before, because the shard had no job."""
    async with running(_CONFIG.format(replicas=1), tmp_path) as gateway:
        ((_, shard),) = (await gateway.until_ready()).items()
        with lingering(shard["pid"]):
            os.kill(shard["pid"], signal.SIGKILL)
            gateway.signal(signal.SIGTERM)
            assert await gateway.wait() == 0
            assert "is left behind" in gateway.log.read_text()


async def test_a_job_that_hangs_in_a_lone_shard_that_cannot_be_ended_is_a_suspect(
    tmp_path: Path,
) -> None:
    """The status names the cause at once; the next copy of the job runs alone, and is refused."""
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        shards = await gateway.until_ready()
        pid = shards["fake/cpu:0"]["pid"]
        with lingering(pid):
            status, body, _ = await gateway.rerank(["fine", "a <<sleep>> document"])
            assert (status, body["error"]["code"]) == (503, "model_unavailable")
            assert "hung" not in body["message"]  # the reason is the operator's
            reason = (await gateway.shards())["fake/cpu:0"]["last_error"]
            assert "hung: no progress" in reason
            assert f"process {pid} cannot be ended" in reason
        await gateway.until_ready()
        status, body, _ = await gateway.rerank(["fine", "a <<sleep>> document"])
        assert (status, body["error"]["code"]) == (400, "quarantined")
        shards = await gateway.until_ready()
        assert shards["fake/cpu:0"]["generation"] == 3
