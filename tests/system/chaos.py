"""A chaos run: a real gateway, clients with a ledger, and a monkey that follows a plan.

The steady state is measured first, then the monkey and the clients run side by side, then the
gateway gets time to come to rest, and the invariants are checked:

    I1 every request has exactly one answer (clients, and the log of the gateway, agree on each)
    I2 every score is the right one
    I3 every other answer is one that its kind of request may have, and is well formed
    I4 no answer comes much later than the deadline
    I5 processes, descriptors and shared memory are back at the baseline, memory has hardly grown
    I6 afterwards a hundred requests in a row succeed
"""

import asyncio
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.system.chaos_cache import MEMORY_MB, CacheKind, ChaosCache, chaos_cache
from tests.system.chaos_clients import Clients
from tests.system.chaos_ledger import accesses, contradictions
from tests.system.chaos_monkey import Monkey, Progress
from tests.system.chaos_plan import POISON_CODES, POISONS, FaultKind, plan
from tests.system.chaos_report import Baseline, Report
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
_SLACK_SECONDS = 5.0  # of a client that shares two busy cores with the gateway
_LOOK_SECONDS = 0.05
_TIMES_STALLED = 5.0
_MOST_GROWTH_BYTES = (48 + MEMORY_MB) * 1024 * 1024
_AFTERWARDS = 100
_QUARANTINE_SECONDS = 600  # after it a poison may end two more
_DEATH = re.compile(r"\"shard is lost: ([^\"]+)\"")
_CODE = re.compile(r"exited with code (\d+)")


async def chaos(
    folder: Path,
    *,
    seed: int,
    seconds: float,
    replicas: int = 2,
    clients: int = 8,
    requests: int = 0,
    cache: CacheKind = "memory",
    on_progress: Progress = lambda share, answered: None,
) -> Report:
    """Run chaos for a number of seconds, and until so many requests; return its report."""
    with chaos_cache(cache, folder) as cached:
        length = Length(seconds, requests)
        return await _chaos(folder, cached, seed, length, replicas, clients, on_progress)


class Length(NamedTuple):
    """The length of a run: so many seconds, and until so many requests."""

    seconds: float
    requests: int


async def _chaos(
    folder: Path,
    cached: ChaosCache,
    seed: int,
    length: Length,
    replicas: int,
    clients: int,
    on_progress: Progress,
) -> Report:
    report = Report(seed)
    edition = folder / "edition"
    edition.write_text("0.0")
    config = cached.config + _CONFIG.format(replicas=replicas)
    environment = {"CHAOS_EDITION": str(edition)}
    async with running(config, folder, chaos=True, environment=environment) as gateway:
        await gateway.until_ready()
        await _crowd(gateway, seed + 1, clients, seconds=2.0)
        report.before = Baseline.of(gateway)
        started = time.monotonic()
        crowd = Clients(gateway.url, seed)
        async with cached.redis_ends(seed, report), asyncio.TaskGroup() as group:
            for client in range(clients):
                group.create_task(crowd.run(client))
            group.create_task(_watch_the_machine(crowd, report))
            await Monkey(gateway, crowd, report, edition).run(
                plan(seed, length.seconds), on_progress
            )
            while len(crowd.rows) < length.requests:
                await asyncio.sleep(_LOOK_SECONDS)
            crowd.stopped.set()
        report.seconds = time.monotonic() - started
        shards = await gateway.until_ready()
        report.restarts = sum(shard["restarts"] for shard in shards.values())
        await _afterwards(crowd, report)
        await crowd.close()
        await cached.count(gateway, report)
        report.rows = crowd.rows
        report.after = await _at_rest(gateway, report.before)
        await _stopped(gateway, report)
    _read_log(gateway.log, report)
    report.problems += _violations(report)
    return report


async def _watch_the_machine(crowd: Clients, report: Report) -> None:
    """Record the longest time for which this process could not run although it was to."""
    while not crowd.stopped.is_set():
        due = time.monotonic() + _LOOK_SECONDS
        await asyncio.sleep(_LOOK_SECONDS)
        report.stalled_seconds = max(report.stalled_seconds, time.monotonic() - due)


async def _crowd(gateway: Gateway, seed: int, clients: int, seconds: float) -> None:
    """Run clients once, so that the baseline is that of a gateway that has worked."""
    crowd = Clients(gateway.url, seed)
    async with asyncio.TaskGroup() as group:
        for client in range(clients):
            group.create_task(crowd.run(random.Random(seed).randrange(1000, 9999) + client))
        await asyncio.sleep(seconds)
        crowd.stopped.set()
    await crowd.close()
    await gateway.until(lambda shards: not any(shard["queue"] for shard in shards.values()))


async def _afterwards(crowd: Clients, report: Report) -> None:
    """Check I6."""
    for number in range(_AFTERWARDS):
        row = await crowd.innocent(f"after-{number}")
        if not row.is_allowed:
            report.problems.append(f"I6: request {number} after the end: {row.outcome}")


async def _at_rest(gateway: Gateway, before: Baseline) -> Baseline:
    """Return the resources once there are no more than before, or after two minutes."""
    end = time.monotonic() + 120
    while not (now := Baseline.of(gateway)).is_within(before):
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.1)
    return now


async def _stopped(gateway: Gateway, report: Report) -> None:
    """Check I5 once more, after an orderly shutdown."""
    processes = gateway.shard_processes
    gateway.signal(signal.SIGTERM)
    code = await gateway.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=60)
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
    report.problems += [f"I1: {text}" for text in contradictions(report.rows, answered)]


def _violations(report: Report) -> Iterator[str]:
    for row in report.rows:
        if row.defect or not row.is_allowed:
            request = f"{row.id} ({row.kind.value}) at {row.sent:.1f} s"
            yield f"I1-I3: {request}: {row.outcome} {row.defect}"
        if row.late_seconds > _SLACK_SECONDS + _TIMES_STALLED * report.stalled_seconds:
            yield f"I4: {row.id} came {row.late_seconds:.2f} s after its deadline"
    most = 2 * (1 + int(report.seconds // _QUARANTINE_SECONDS))
    # A reload of the model begins with an empty quarantine, which the copies of a burst may meet in
    # both replicas at once.
    most += 3 * report.faults[FaultKind.REPLACE]
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
