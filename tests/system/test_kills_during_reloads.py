"""`kill -9` of each process at each step of a reload: a table of steps and victims.

After each kill no request has failed, the next reload works, and no process is left over.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.operator import BASE, model, reload_status, until, until_settled, write
from tests.system.running import Gateway, Ledger, running

_HELPER = "resource_tracker"
"""In the command line of the process that multiprocess starts beside the shards."""


def _config(turn: int, options: str = "") -> str:
    """Return a configuration that differs from that of other turns, so that a reload loads it."""
    return BASE + model("fake", f"delay_ms={3 + turn % 20}{options}", replicas="2")


class Reload:
    """A reload by the command, in one gateway, and its processes by role."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.turn = 0
        self.command: subprocess.Popen[bytes] | None = None

    def start(self, options: str = "") -> None:
        self.turn += 1
        write(self.folder, _config(self.turn, options))
        self.ask()

    def ask(self) -> None:
        command = [sys.executable, "-m", "gateway", "reload", "--url", self.gateway.url]
        self.command = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    async def victims(self) -> dict[str, int]:
        """Return the processes that there are now, by role."""
        _, status = await self.gateway.get("/status")
        reload = status["reload"]
        old = [shard for model in status["models"] for shard in model["shards"]]
        new = [shard for model in reload["coming"] for shard in model["shards"]]
        leaving = [shard for model in reload["leaving"] for shard in model["shards"]]
        assert self.command is not None
        found = {"command": self.command.pid, "old shard": old[0]["pid"]}
        if new and new[0]["pid"]:
            found["new shard"] = new[0]["pid"]
        if leaving and leaving[0]["pid"]:
            found["leaving shard"] = leaving[0]["pid"]
        for process in psutil.Process(self.gateway.process.pid).children():
            if _HELPER in " ".join(process.cmdline()):
                found["helper"] = process.pid
        return found

    async def settle(self) -> dict[str, Any]:
        """Wait until no reload runs, then make one more, which must work."""
        await until(self.gateway, lambda found: not (found["running"] or found["leaving"]))
        before = (await reload_status(self.gateway))["attempts"]
        self.turn += 1
        write(self.folder, _config(self.turn))
        self.gateway.signal(signal.SIGHUP)
        found = await until_settled(self.gateway, before + 1)
        await self.gateway.until_ready()
        assert self.command is not None
        await asyncio.to_thread(self.command.wait, 120)
        return found


async def _reading(reload: Reload) -> Callable[[], None]:
    """Stop while the configuration is read, which is a pipe; the result lets it go on."""
    reload.turn += 1
    file = reload.folder / "gateway.toml"
    file.unlink()
    os.mkfifo(file)
    reload.ask()
    await until(reload.gateway, lambda found: found["running"])
    text = "port = 0\n" + _config(reload.turn)

    def go_on() -> None:
        descriptor = _opened_to_write(file)
        os.write(descriptor, text.encode())
        os.close(descriptor)
        file.unlink()

    return go_on


def _opened_to_write(pipe: Path) -> int:
    """Open a pipe as soon as the gateway is about to read it."""
    for _ in range(12_000):
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError("the gateway does not read its configuration")


async def _loading(reload: Reload) -> Callable[[], None]:
    reload.start("&load_ms=4000")
    await until(reload.gateway, lambda found: any(_pids(found["coming"])))
    return lambda: None


async def _leaving(reload: Reload) -> Callable[[], None]:
    """Stop while the old shards finish the requests that they have."""
    reload.turn += 1
    write(reload.folder, BASE + model("fake", "delay_ms=3000", replicas="2"))
    before = (await reload_status(reload.gateway))["attempts"]
    reload.gateway.signal(signal.SIGHUP)
    await until_settled(reload.gateway, before + 1)
    await reload.gateway.until(lambda shards: all(s["queue"] for s in shards.values()))
    reload.start()
    await until(reload.gateway, lambda found: any(_pids(found["leaving"])))
    return lambda: None


def _pids(models: list[dict[str, list[dict[str, int]]]]) -> list[int]:
    return [shard["pid"] for model in models for shard in model["shards"]]


_STEPS = {"reading": _reading, "loading": _loading, "leaving": _leaving}
_TABLE = {
    "reading": ("command", "old shard", "helper"),
    "loading": ("command", "old shard", "helper", "new shard"),
    "leaving": ("command", "old shard", "helper", "leaving shard"),
}


@asynccontextmanager
async def _reloading(folder: Path) -> AsyncIterator[Reload]:
    async with running(_config(0), folder) as gateway:
        await gateway.until_ready()
        yield Reload(gateway, folder)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("step", _TABLE)
async def test_a_kill_at_each_step_of_a_reload_loses_nothing(tmp_path: Path, step: str) -> None:
    async with _reloading(tmp_path) as reload:
        gateway = reload.gateway
        number = len(gateway.shard_processes)
        for victim in _TABLE[step]:
            ledger = Ledger(gateway)
            async with ledger.load(clients=4):
                await ledger.until_answered(8)
                go_on = await _STEPS[step](reload)
                os.kill((await reload.victims())[victim], signal.SIGKILL)
                go_on()
                found = await reload.settle()
            ledger.assert_all_right()
            assert found["last"]["ok"], (victim, found)
            left = [process.cmdline() for process in gateway.shard_processes]
            assert len(left) == number, (victim, left)
        gateway.signal(signal.SIGTERM)
        processes = gateway.shard_processes
        assert await gateway.wait() == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=60)
        assert alive == []


@pytest.mark.timeout(400)
async def test_a_kill_of_the_gateway_at_each_step_leaves_nothing(tmp_path: Path) -> None:
    """Its next start serves the new configuration, or the old one if the file was a pipe."""
    for step, begin in _STEPS.items():
        folder = tmp_path / step
        folder.mkdir()
        async with _reloading(folder) as reload:
            gateway, ledger = reload.gateway, Ledger(reload.gateway)
            requests = [asyncio.create_task(_send(ledger, number)) for number in range(4)]
            await begin(reload)
            processes = gateway.shard_processes
            gateway.signal(signal.SIGKILL)
            _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=60)
            assert alive == []
            for request in requests:
                request.cancel()
            assert reload.command is not None
            assert await asyncio.to_thread(reload.command.wait, 120) != 0
        (folder / "gateway.toml").unlink()
        async with running(_config(reload.turn), folder) as gateway:
            await gateway.until_ready()
            assert (await gateway.rerank(["a"]))[0] == 200


async def _send(ledger: Ledger, number: int) -> None:
    while True:
        number += 1000  # other texts each time: kept scores are no work
        await ledger.send(number)
