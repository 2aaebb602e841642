"""A chaos run: a real gateway, clients with a ledger, and a monkey that follows a plan.

The steady state is measured first, then the monkey and the clients run side by side, then everything
is given time to come to rest, and the invariants are looked at:

    I1 every request has exactly one answer (clients, and the log of the gateway, agree on each)
    I2 every score is the right one
    I3 every other answer is one that its kind of request may have, and well formed
    I4 no answer comes much later than the deadline
    I5 processes, descriptors and shared memory are back at the baseline, memory has hardly grown
    I6 afterwards a hundred requests in a row succeed
"""

import asyncio
import contextlib
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.system.chaos_clients import Clients
from tests.system.chaos_ledger import INNOCENT, LOST, Row, accesses, contradictions
from tests.system.chaos_plan import BURST, POISON_CODES, POISONS, Act, Blow, plan
from tests.system.running import Gateway, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
crash_limit = 1000
[models.fake]
source = "fake?delay_ms=3"
engine = "fake"
replicas = {replicas}
"""
_SLACK_SECONDS = 2.0  # of a client that shares two busy cores with what it measures
_MOST_GROWTH_BYTES = 48 * 1024 * 1024
_AFTERWARDS = 100
_QUARANTINE_SECONDS = 600  # after it a poison may end two more
_DEATH = re.compile(r"shard \S+ is lost: ([^\"]+)\"")
_CODE = re.compile(r"exited with code (\d+)")

Progress = Callable[[float, int], None]
"""Told the share of the run that is over, and how many requests have been answered."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the gateway holds at rest."""

    processes: int
    descriptors: int
    shared_memory: frozenset[str]
    memory_bytes: int

    @classmethod
    def of(cls, gateway: Gateway) -> "Baseline":
        process = psutil.Process(gateway.process.pid)
        return cls(
            processes=len(gateway.shard_processes),
            descriptors=process.num_fds(),
            shared_memory=frozenset(path.name for path in Path("/dev/shm").iterdir()),
            memory_bytes=process.memory_info().rss,
        )


@dataclass(slots=True)
class Report:
    """What a run came to; `problems` is empty if every invariant held."""

    seed: int
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    blows: Counter[Act] = field(default_factory=Counter)
    missed: int = 0
    restarts: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    poison_deaths: dict[str, int] = field(default_factory=dict)
    before: Baseline | None = None
    after: Baseline | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def kills_and_stops(self) -> int:
        return sum(self.blows[act] for act in _SIGNALS)

    @property
    def lost(self) -> int:
        return sum(row.outcome == LOST for row in self.rows)

    @property
    def innocents_failed(self) -> int:
        return sum(row.kind in INNOCENT and not row.is_allowed for row in self.rows)

    def seconds_at(self, share: float) -> float:
        """Return the quantile of the time that innocent requests took."""
        times = sorted(row.seconds for row in self.rows if row.kind in INNOCENT)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


_SIGNALS = {
    Act.KILL: signal.SIGKILL,
    Act.STOP: signal.SIGSTOP,
    Act.PAUSE: signal.SIGSTOP,
    Act.CRASH: signal.SIGSEGV,
}


class Monkey:
    """Deals the blows of a plan."""

    def __init__(self, gateway: Gateway, clients: Clients, report: Report) -> None:
        self._gateway = gateway
        self._clients = clients
        self._report = report
        self._poisons = 0

    async def run(self, blows: list[Blow], on_progress: Progress) -> None:
        """Follow the plan; returns when the last blow has had its effect on its client."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, blow in enumerate(blows):
                await asyncio.sleep(max(0.0, blow.at - (time.monotonic() - started)))
                group.create_task(self._strike(blow))
                on_progress((number + 1) / len(blows), len(self._clients.rows))

    async def _strike(self, blow: Blow) -> None:
        if blow.act in _SIGNALS:
            await self._signal(blow)
            return
        copies = BURST if blow.act is Act.BURST else 1
        self._report.blows[blow.act] += 1
        text, first = POISONS[blow.victim % len(POISONS)], self._poisons
        self._poisons += copies
        async with asyncio.TaskGroup() as group:
            for copy in range(copies):
                group.create_task(self._clients.poison(text, f"poison-{first + copy}"))

    async def _signal(self, blow: Blow) -> None:
        victim = await self._victim(blow.victim)
        if victim is None:
            self._report.missed += 1
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(_SIGNALS[blow.act])
            self._report.blows[blow.act] += 1
            if blow.act is Act.PAUSE:
                await asyncio.sleep(blow.seconds)
                victim.send_signal(signal.SIGCONT)

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


async def chaos(
    folder: Path,
    *,
    seed: int,
    seconds: float,
    replicas: int = 2,
    clients: int = 8,
    on_progress: Progress = lambda share, answered: None,
) -> Report:
    """Run chaos for so many seconds and return what came of it."""
    report = Report(seed)
    async with running(_CONFIG.format(replicas=replicas), folder, chaos=True) as gateway:
        await gateway.until_ready()
        await _crowd(gateway, seed + 1, clients, seconds=2.0)
        report.before = Baseline.of(gateway)
        started = time.monotonic()
        crowd = Clients(gateway.url, seed)
        async with asyncio.TaskGroup() as group:
            for client in range(clients):
                group.create_task(crowd.run(client))
            await Monkey(gateway, crowd, report).run(plan(seed, seconds), on_progress)
            crowd.stopped.set()
        report.seconds = time.monotonic() - started
        shards = await gateway.until_ready()
        report.restarts = sum(shard["restarts"] for shard in shards.values())
        await _afterwards(crowd, report)
        await crowd.close()
        report.rows = crowd.rows
        report.after = await _at_rest(gateway, report.before)
        await _stopped(gateway, report)
    _read_log(gateway.log, report)
    report.problems += _violations(report)
    return report


async def _crowd(gateway: Gateway, seed: int, clients: int, seconds: float) -> None:
    """Let clients in and out once, so that the baseline is that of a gateway that has worked."""
    crowd = Clients(gateway.url, seed)
    async with asyncio.TaskGroup() as group:
        for client in range(clients):
            group.create_task(crowd.run(random.Random(seed).randrange(1000, 9999) + client))
        await asyncio.sleep(seconds)
        crowd.stopped.set()
    await crowd.close()
    await gateway.until(lambda shards: not any(shard["queue"] for shard in shards.values()))


async def _afterwards(crowd: Clients, report: Report) -> None:
    """I6."""
    for number in range(_AFTERWARDS):
        row = await crowd.innocent(f"after-{number}")
        if not row.is_allowed:
            report.problems.append(f"I6: request {number} after the end: {row.outcome}")


async def _at_rest(gateway: Gateway, before: Baseline) -> Baseline:
    """Return what the gateway holds once it holds no more than before, or after a while."""
    end = time.monotonic() + 10
    while (now := Baseline.of(gateway)).descriptors > before.descriptors:
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.1)
    return now


async def _stopped(gateway: Gateway, report: Report) -> None:
    """I5 once more, after an orderly end."""
    processes = gateway.shard_processes
    gateway.signal(signal.SIGTERM)
    code = await gateway.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=10)
    if code != 0 or alive:
        report.problems.append(f"I5: the gateway ended with {code}, left behind: {alive}")


def _read_log(log: Path, report: Report) -> None:
    """Count deaths by cause, and compare the ledger with the log."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        text = list(lines)
    for line in text:
        if found := _DEATH.search(line):
            report.deaths[re.sub(r"[\d.]+", "#", found[1])] += 1
    codes = Counter(
        int(code[1]) for line in text if _DEATH.search(line) and (code := _CODE.search(line))
    )
    report.poison_deaths = {
        poison: codes[code] for poison, code in zip(POISONS, POISON_CODES, strict=True)
    }
    answered = [entry for entry in accesses(text) if entry[0].startswith(("c", "p", "a"))]
    report.problems += [f"I1: {one}" for one in contradictions(report.rows, answered)]


def _violations(report: Report) -> Iterator[str]:
    for row in report.rows:
        if row.fault or not row.is_allowed:
            yield f"I1-I3: {row.id} ({row.kind.value}) at {row.sent:.1f} s: {row.outcome} {row.fault}"
        if row.late_seconds > _SLACK_SECONDS:
            yield f"I4: {row.id} came {row.late_seconds:.2f} s after its deadline"
    most = 2 * (1 + int(report.seconds // _QUARANTINE_SECONDS))
    for poison, deaths in report.poison_deaths.items():
        if deaths > most:
            yield f"P3: {poison!r} ended {deaths} shards"
    assert report.before is not None
    assert report.after is not None
    before, after = report.before, report.after
    if after.processes != before.processes or after.descriptors > before.descriptors:
        yield f"I5: {before} became {after}"
    if not after.shared_memory <= before.shared_memory:
        yield f"I5: left in /dev/shm: {sorted(after.shared_memory - before.shared_memory)}"
    if after.memory_bytes - before.memory_bytes > _MOST_GROWTH_BYTES:
        yield f"I5: memory grew from {before.memory_bytes} to {after.memory_bytes} bytes"
