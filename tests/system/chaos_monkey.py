"""The monkey of a chaos run: injects the faults of a plan into a running gateway."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from tests.system.chaos_clients import Clients
from tests.system.chaos_plan import BURST, POISONS, Fault, FaultKind
from tests.system.chaos_report import SIGNALS, Report
from tests.system.operator import command
from tests.system.running import Gateway, busy_cores

Progress = Callable[[float, int], None]
"""A callback with the share of the run that is over, and the number of answered requests."""


_AFTER_WAITING = {FaultKind.CRASH: FaultKind.KILL}
"""Crashes need time between them, so one that had to wait becomes another fault."""

_QUIET_SECONDS = 3.0
_LOOK_SECONDS = 0.05
_LONGEST_HANG_SECONDS = 30.0  # of a stopped shard, until the gateway ends it
_SHIFT = 0.25
_STARVED = 19


def _renice(process: psutil.Process, niceness: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        for thread in process.threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, niceness)


class Monkey:
    """Injects the faults of a plan."""

    def __init__(self, gateway: Gateway, clients: Clients, report: Report, edition: Path) -> None:
        self._gateway = gateway
        self._clients = clients
        self._report = report
        self._edition = edition
        self._poisons = 0
        self._replacing = asyncio.Lock()
        self._at_work = 0  # faults whose effect is not over

    async def run(self, faults: list[Fault], on_progress: Progress) -> None:
        """Follow the plan; return when the clients of all faults have their answers."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, fault in enumerate(faults):
                await asyncio.sleep(max(0.0, fault.at - (time.monotonic() - started)))
                group.create_task(self._inject(fault))
                on_progress((number + 1) / len(faults), len(self._clients.rows))

    async def _inject(self, fault: Fault) -> None:
        if fault.kind is FaultKind.REPLACE:
            await self._replace(fault)
            return
        if self._replacing.locked():
            async with self._replacing:
                fault = replace(fault, kind=_AFTER_WAITING.get(fault.kind, fault.kind))
        self._at_work += 1
        try:
            await self._disturb(fault)
        finally:
            self._at_work -= 1

    async def _disturb(self, fault: Fault) -> None:
        if fault.kind in SIGNALS:
            await self._signal(fault)
        elif fault.kind is FaultKind.STARVE:
            await self._starve(fault)
        elif fault.kind is FaultKind.RELOAD:
            self._gateway.signal(signal.SIGHUP)
            self._report.faults[fault.kind] += 1
        else:
            await self._poison(fault)

    async def _poison(self, fault: Fault) -> None:
        copies = BURST if fault.kind is FaultKind.BURST else 1
        self._report.faults[fault.kind] += 1
        text, first = POISONS[fault.victim % len(POISONS)], self._poisons
        self._poisons += copies
        async with asyncio.TaskGroup() as group:
            for copy in range(copies):
                group.create_task(self._clients.poison(text, f"poison-{first + copy}"))

    async def _signal(self, fault: Fault) -> None:
        victim = await self._victim(fault.victim)
        if victim is None:
            self._report.missed += 1
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(SIGNALS[fault.kind])
            self._report.faults[fault.kind] += 1
            if fault.kind is FaultKind.PAUSE:
                await asyncio.sleep(fault.seconds)
                victim.send_signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(psutil.wait_procs, [victim], timeout=_LONGEST_HANG_SECONDS)

    async def _replace(self, fault: Fault) -> None:
        """Replace the files, kill a replica, and move all replicas to the new files by a reload.

        Other faults wait: while one replica is refused for its files, the other one must serve.
        """
        async with self._replacing:
            while self._at_work:
                await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.sleep(_QUIET_SECONDS)  # until the gateway has seen the last one's effect
            await self._gateway.until_ready()
            before = float(self._edition.read_text())
            after = before + _SHIFT
            part = self._edition.with_suffix(".part")
            part.write_text(str(after))
            part.replace(self._edition)
            if victim := await self._victim(fault.victim):
                victim.kill()
            await self._gateway.until(
                lambda shards: any(shard["state"] == "failed" for shard in shards.values())
            )
            await asyncio.sleep(fault.seconds)  # in which only the old files are served
            self._clients.shifts = frozenset({before, after})
            code, output = await command(self._gateway, "reload", "fake")
            if code:
                self._report.problems.append(f"a reload after new files failed: {output}")
            await self._gateway.until_ready()
            self._clients.shifts = frozenset({after})
            self._report.faults[fault.kind] += 1

    async def _starve(self, fault: Fault) -> None:
        """Hold a shard to little of each core for a while."""
        victim = await self._victim(fault.victim)
        if victim is None:
            self._report.missed += 1
            return
        self._report.faults[fault.kind] += 1
        with busy_cores():
            _renice(victim, _STARVED)
            await asyncio.sleep(2 * fault.seconds)
            _renice(victim, 0)

    async def _victim(self, number: int) -> psutil.Process | None:
        """Return the process of one of the shards that are ready, if there is one."""
        shards = (await self._gateway.shards()).values()
        ready = [shard["pid"] for shard in shards if shard["state"] == "ready"]
        if not ready:
            return None
        try:
            return psutil.Process(ready[number % len(ready)])
        except psutil.NoSuchProcess:
            return None
