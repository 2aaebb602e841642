"""A shadow in a real gateway: clients never notice it, whatever its state."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.operator import BASE, model, pids, reload
from tests.system.running import Gateway, Ledger, running


def config(percent: float | None, options: str = "inverted=1") -> str:
    keys = {} if percent is None else {"shadow": f'{{ model = "new", percent = {percent} }}'}
    return "score_cache_mb = 0\n" + BASE + model("first", **keys) + model("new", options)


async def shadow(gateway: Gateway) -> dict[str, Any]:
    _, status = await gateway.get("/status")
    (found,) = status["shadows"]
    return dict(found)


async def until(gateway: Gateway, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while not condition(found := await shadow(gateway)):
            await asyncio.sleep(0.02)
    return found


async def test_agreement_is_reported_everywhere_and_reloads_touch_no_shard(tmp_path: Path) -> None:
    async with running(config(100), tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        ledger = Ledger(gateway, documents=12, model="first")
        for number in range(10):
            await ledger.send(number)
        ledger.assert_all_right()
        found = await until(gateway, lambda found: found["waiting"] == 0)
        assert found["compared"] == 10
        agreement = found["agreement"]
        assert (agreement["requests"], agreement["tau"], agreement["top1"]) == (10, -1.0, 0.0)
        assert await gateway.metric("reranker_shadow_kendall_tau") == -1.0
        assert await gateway.metric("reranker_shadow_requests_total") == 10
        assert (await gateway.metric("reranker_documents_total")) == 120
        assert (await reload(gateway, tmp_path, config(None)))[0] == 0
        _, status = await gateway.get("/status")
        assert status["shadows"] == []
        assert await gateway.metric("reranker_shadow_kendall_tau") == 0
        assert (await reload(gateway, tmp_path, config(0.5)))[0] == 0
        assert (await shadow(gateway))["percent"] == 0.5
        assert pids(await gateway.shards()) == before


async def test_a_shadow_that_hangs_and_dies_affects_no_client(tmp_path: Path) -> None:
    """While the shadow hangs, all clients get right answers; no request waits for it."""
    async with running(config(100), tmp_path) as gateway:
        shards = await gateway.until_ready()
        pid = shards["new/cpu:0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        ledger = Ledger(gateway, model="first")
        async with ledger.load(clients=3):
            await ledger.until_answered(60)
        ledger.assert_all_right()
        compared = (await shadow(gateway))["compared"]
        is_new = (await gateway.shards())["new/cpu:0"]["generation"] > 1  # found to hang by now
        assert is_new or compared == 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        later = Ledger(gateway, model="first")
        async with later.load(clients=3):
            await later.until_answered(60)
        later.assert_all_right()
        await gateway.until_ready()
        found = await until(gateway, lambda found: found["waiting"] == 0)
        sent = ledger.codes.total() + later.codes.total()
        assert found["compared"] + found["dropped"] + found["failed"] == sent
        models = await gateway.models()
        assert [models[name]["retries"] for name in ("first", "new")] == [0, 0]


async def test_compare_shows_the_agreement(tmp_path: Path) -> None:
    async with running(config(100), tmp_path) as gateway:
        await gateway.until_ready()
        await Ledger(gateway, model="first", documents=12).send(1)
        await until(gateway, lambda found: found["compared"] == 1)
        done = await compare(gateway, "first", "--json")
        (found,) = json.loads(done.stdout)
        assert (done.returncode, found["shadow"], found["agreement"]["tau"]) == (0, "new", -1.0)
        assert "-1.000" in (await compare(gateway)).stdout
        done = await compare(gateway, "other")
        assert (done.returncode, "'other' has no shadow here" in done.stderr) == (1, True)


async def compare(gateway: Gateway, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gateway", "compare", *arguments, "--url", gateway.url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
