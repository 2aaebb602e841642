"""Time and throughput of the gateway itself, by a load generator in C: `scripts/bench-gateway`.

The fake engine scores in no time, so what is measured is HTTP, parsing, routing, the pipe to the
shard and back, and rendering. The gateway has the first core for itself; its shard and wrk share
the others. Latency is measured with one client, throughput with 64; the CPU time per request is the
kernel's count for the gateway's process, and is the figure that other work on the machine disturbs
least. At last requests of ten to ten thousand documents, one after the other: what a document costs
the gateway.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from http import HTTPStatus
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.system.running import Gateway, running

FAKE_CONFIG = """
score_cache_mb = 0
log_level = "info"
[models.fake]
source = "fake"
engine = "fake"
"""
"""A gateway whose own cost is all that there is; the same texts are sent again and again."""

_CLIENTS = (1, 64)
_SIZES = (10, 100, 1000, 10_000)  # documents of one request
_DOCUMENTS_EACH = 40_000  # sent for each size
_BODY = {
    "query": "which of these is it?",
    "documents": [f"a document of about ten common words, number {number}" for number in range(3)],
}
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = %s
done = function(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read
  io.stderr:write(string.format(
    '{"requests": %%d, "seconds": %%.6f, "failed": %%d, "p50_ms": %%.4f, "p99_ms": %%.4f}',
    summary.requests, summary.duration / 1e6, failed + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def pin(gateway: Gateway) -> None:
    """Give the gateway the first core, and everything else the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return
    for process in gateway.shard_processes:
        _pin_all(process.pid, cores[1:])
    _pin_all(gateway.process.pid, cores[:1])
    os.sched_setaffinity(0, cores[1:])


def _pin_all(pid: int, cores: list[int]) -> None:
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)


def _wrk(url: str, script: Path, clients: int, seconds: int) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"{url}/v1/rerank"], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stderr)
    return found


async def _documents(gateway: Gateway, size: int) -> dict[str, float]:
    """Return what one document costs in requests of so many."""
    process, count = psutil.Process(gateway.process.pid), max(1, _DOCUMENTS_EACH // size)
    texts = [f"a document of about ten common words, number {number}" for number in range(size)]
    await gateway.rerank(texts)  # warm
    before = process.cpu_times()
    for _ in range(count):
        status, _, _ = await gateway.rerank(texts)
        assert status == HTTPStatus.OK, status
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {"documents": size, "requests": count, "cpu_us_a_document": 1e6 * cpu / (count * size)}


async def measure(seconds: int) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return one row per number of clients, and one per number of documents."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "rerank.lua"
        script.write_text(_SCRIPT % json.dumps(json.dumps(_BODY)))
        async with running(FAKE_CONFIG, Path(folder)) as gateway:
            await gateway.until_ready()
            pin(gateway)
            process = psutil.Process(gateway.process.pid)
            await asyncio.to_thread(_wrk, gateway.url, script, 8, 2)  # warm
            for clients in _CLIENTS:
                before = process.cpu_times()
                row = await asyncio.to_thread(_wrk, gateway.url, script, clients, seconds)
                after = process.cpu_times()
                cpu = after.user + after.system - before.user - before.system
                row["clients"] = clients
                row["per_second"] = row["requests"] / row["seconds"]
                row["cpu_us"] = 1e6 * cpu / max(1, row["requests"])
                rows.append(row)
            sizes = [await _documents(gateway, size) for size in _SIZES]
    return rows, sizes


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    with Console(stderr=True).status("measuring"):
        rows, sizes = asyncio.run(measure(flags.seconds))
    if flags.json:
        sys.stdout.write(json.dumps({"clients": rows, "documents": sizes}) + "\n")
        return
    table = Table("clients", "requests/s", "p50 ms", "p99 ms", "gateway CPU us/request", "failed")
    for row in rows:
        table.add_row(
            f"{row['clients']:.0f}", f"{row['per_second']:,.0f}", f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}", f"{row['cpu_us']:.0f}", f"{row['failed']:.0f}",
        )  # fmt: skip
    Console().print(table)
    table = Table("documents of a request", "requests", "gateway CPU us/document")
    for one in sizes:
        table.add_row(
            f"{one['documents']:,}", f"{one['requests']}", f"{one['cpu_us_a_document']:.1f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
