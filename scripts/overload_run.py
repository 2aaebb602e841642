"""A gateway under overload, measured on this machine: the program behind `scripts/overload`.

One model with the fake engine, whose batches take a fixed time, so that its capacity is known and
small enough for the load generator, which has a core of its own beside the gateway's. First the
capacity is measured with a few busy clients. Then requests come evenly at multiples of it, whether
or not earlier ones were answered (an open loop), each with a deadline of two seconds. The CPU time
of the gateway says what a request costs it, however busy the machine is with other things. What a
refusal takes is told three times: as the client sees it, as the gateway's log has it, and how late
the client itself is for its own timers, since it shares its core with the shard and sends thousands
of requests. Goodput is what was answered in time. At last small requests are measured alone and
beside requests of 1,000 documents.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.cli.bench.figures import quantile
from scripts.gateway_bench import pin
from tests.system.running import Gateway, running

_CONFIG = """
score_cache_mb = 0
[models.fake]
source = "fake?delay_ms=200"
engine = "fake"
max_length = 512
token_budget = 512
"""
_DEADLINE_SECONDS = 2.0
_LOOK_SECONDS = 0.002
HTTP_REFUSED = 503
_LOADS = (0.2, 1.0, 2.0, 10.0)  # of the capacity
_SMALL = [f"a document of about ten words, number {number}" for number in range(3)]
_LARGE = [f"document {number}" for number in range(1000)]


@dataclass
class Stage:
    """Outcomes of the requests of one stage."""

    name: str
    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)  # latencies
    refused: list[float] = field(default_factory=list)
    late: int = 0
    cut: int = 0  # connections ended without an answer
    cpu_seconds: float = 0.0  # of the gateway itself, without its shards
    lags: list[float] = field(default_factory=list)  # of this process: how late its timers were
    logged: list[float] = field(default_factory=list)  # seconds of refusals, by the gateway's log

    async def send(self, gateway: Gateway, documents: list[str], allowed_seconds: float) -> None:
        started = time.monotonic()
        try:
            status, _, _ = await gateway.rerank(documents, timeout_seconds=allowed_seconds)
        except aiohttp.ClientError:
            self.cut += 1
            return
        seconds = time.monotonic() - started
        if status == 200:
            self.answered.append(seconds)
        elif status == HTTP_REFUSED:
            self.refused.append(seconds)
        else:
            self.late += 1

    async def watch_own_lag(self) -> None:
        """Note how late this process is for its own timers, until cancelled."""
        while True:
            due = time.monotonic() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            self.lags.append(time.monotonic() - due)

    @property
    def goodput(self) -> float:
        """Requests answered a second."""
        return len(self.answered) / self.seconds if self.seconds else 0.0


async def _closed(gateway: Gateway, name: str, *, clients: int, seconds: float) -> Stage:
    """Let clients ask one request after the other."""
    stage, end = Stage(name), time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await stage.send(gateway, _SMALL, 60.0)

    started = time.monotonic()
    await asyncio.gather(*[client() for _ in range(clients)])
    stage.seconds = time.monotonic() - started
    return stage


async def _open(gateway: Gateway, name: str, *, rate: float, seconds: float) -> Stage:
    """Let requests come at a fixed rate."""
    stage, started = Stage(name), time.monotonic()
    cpu_before, logged_before = _cpu_seconds(gateway), gateway.log.stat().st_size
    watching = asyncio.create_task(stage.watch_own_lag())
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            group.create_task(stage.send(gateway, _SMALL, _DEADLINE_SECONDS))
        stage.seconds = time.monotonic() - started
    watching.cancel()
    stage.cpu_seconds = _cpu_seconds(gateway) - cpu_before
    stage.logged = _logged_refusals(gateway.log, logged_before)
    return stage


def _logged_refusals(log: Path, start: int) -> list[float]:
    """Return the seconds that refused requests took, of what was logged from there on."""
    lines = [json.loads(line) for line in log.read_bytes()[start:].splitlines()]
    return [line["ms"] / 1000 for line in lines if line.get("code") == HTTP_REFUSED]


def _cpu_seconds(gateway: Gateway) -> float:
    times = psutil.Process(gateway.process.pid).cpu_times()
    return float(times.user + times.system)


async def _beside_large(gateway: Gateway, *, rate: float, seconds: float) -> Stage:
    """Let small requests come at a fixed rate while large ones are always in work."""
    large = Stage("1,000 documents")
    end = time.monotonic() + seconds

    async def always_one() -> None:
        while time.monotonic() < end:
            await large.send(gateway, _LARGE, 60.0)

    busy = [asyncio.create_task(always_one()) for _ in range(2)]
    stage = await _open(gateway, "small beside 1,000-document requests", rate=rate, seconds=seconds)
    await asyncio.gather(*busy)
    assert large.answered, "no large request was answered"
    return stage


async def measure(seconds: float) -> list[Stage]:
    """Run all stages against one gateway."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(_CONFIG, Path(folder)) as gateway:
            await gateway.until_ready()
            pin(gateway)
            await _closed(gateway, "warm-up", clients=32, seconds=seconds / 4)
            stages = [await _closed(gateway, "capacity", clients=32, seconds=seconds)]
            capacity = stages[0].goodput
            for load in track(_LOADS, "open loop", console=Console(stderr=True)):
                rate = load * capacity
                stages += [await _open(gateway, f"{load:g}x", rate=rate, seconds=seconds)]
            stages.append(await _beside_large(gateway, rate=0.2 * capacity, seconds=seconds))
    return stages


def _row(stage: Stage, capacity: float) -> dict[str, object]:
    requests = len(stage.answered) + len(stage.refused) + stage.late + stage.cut
    return {
        "stage": stage.name,
        "goodput_per_s": round(stage.goodput, 1),
        "of_capacity": round(stage.goodput / capacity, 3),
        "p50_ms": _quantile_ms(stage.answered, 0.5),
        "p99_ms": _quantile_ms(stage.answered, 0.99),
        "refused": len(stage.refused),
        "refusal_p50_ms": _quantile_ms(stage.refused, 0.5),
        "refusal_p99_ms": _quantile_ms(stage.refused, 0.99),
        "logged_p99_ms": _quantile_ms(stage.logged, 0.99),
        "own_lag_p99_ms": _quantile_ms(stage.lags, 0.99),
        "late": stage.late,
        "cut": stage.cut,
        "cpu_us_a_request": round(1e6 * stage.cpu_seconds / max(1, requests)),
    }


def _quantile_ms(seconds: Sequence[float], share: float) -> float:
    return round(1000 * quantile(sorted(seconds), share), 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each stage")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stages = asyncio.run(measure(arguments.seconds))
    rows = [_row(stage, stages[0].goodput) for stage in stages]
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
