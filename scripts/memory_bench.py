"""Cost of one model in memory and in time to ready, over HTTP, at first and after long use.

Each format is served alone by a `gateway serve` of its own. Memory is that of the whole tree,
gateway and shard: the *peak* is the sum of the most that each process ever had resident (VmHWM), so
no moment was worse; *anonymous* is what is the process's own, *file* what is mapped from files
(libraries, rows of embeddings), which the kernel may take back. `scripts/bench-memory --help`.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import aiohttp
import click
import psutil

from gateway.cli.bench.workloads import Request, requests
from scripts.full_size import qwen3_06b
from tests.system.running import Gateway, running

_CONFIG = """
score_cache_mb = 0
offline = true
default_timeout_seconds = 3600
max_timeout_seconds = 3600
[models.m]
source = "{source}"
dtype = "{dtype}"
max_length = 40960
canary = "numeric"
int8_anyway = {anyway}
"""
_WARM = ("short3", "rag20", "rag100")
_SHORTS_PER_RAG = 20  # in the soak
_SAMPLES = 40


@dataclass(frozen=True, slots=True)
class Memory:
    """MB of a process tree.

    Attributes:
        peak: the sum of what each process had resident at most, ever.
        resident, anonymous, file: now.
        proportional: now, with pages that processes share counted once (Pss).
    """

    peak: float
    resident: float
    anonymous: float
    file: float
    proportional: float


def memory_of(processes: Sequence[psutil.Process]) -> Memory:
    """Read what the kernel says of these processes."""
    status = [_fields(process.pid, "status") for process in processes]
    rollup = [_fields(process.pid, "smaps_rollup") for process in processes]
    names = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    sums = (sum(fields.get(name, 0) for fields in status) for name in names)
    shared_once = sum(fields.get("Pss", 0) for fields in rollup)
    return Memory(*(round(kb * 1024 / 1e6, 1) for kb in (*sums, shared_once)))


def _fields(pid: int, name: str) -> dict[str, int]:
    """Return the lines of a file of /proc that are in kB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/{name}").read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) for line in lines if line[-1] == "kB"}


def processes_of(gateway: Gateway) -> list[psutil.Process]:
    """Return the gateway and all that it has started."""
    return [psutil.Process(gateway.process.pid), *gateway.shard_processes]


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory over the course of many requests of one kind.

    Attributes:
        requests: how many, half of them to warm up (kernels are made, the heap finds its size).
        before, after: the most MB resident in the third quarter, and in the last.
        slope: MB in a thousand requests, of the line nearest to all samples of the second half.
    """

    requests: int
    before: float
    after: float
    slope: float


async def soak(gateway: Gateway, asked: Iterator[Request], count: int) -> Growth:
    """Send so many requests, one after the other, and look at the memory meanwhile."""
    samples: list[tuple[int, float]] = []
    for number in range(count):
        await send(gateway, next(asked))
        if number >= count // 2 and number % max(1, count // (2 * _SAMPLES)) == 0:
            samples.append((number, memory_of(processes_of(gateway)).resident))
    middle = len(samples) // 2
    third, last = (max(mb for _, mb in part) for part in (samples[:middle], samples[middle:]))
    return Growth(count, third, last, round(1000 * slope(samples), 3))


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line that is nearest to the samples."""
    middle, mean = (sum(values) / len(samples) for values in zip(*samples, strict=True))
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return sum((at - middle) * (value - mean) for at, value in samples) / spread if spread else 0.0


def soaking() -> Iterator[Request]:
    """Yield what a soak asks: mostly short requests, now and then 20 passages; half of the queries
    are asked again and again, the others are new."""
    kinds = cycle([*["short3", "repeat"] * (_SHORTS_PER_RAG // 2), "rag20"])
    streams = {name: requests(name, seed=1) for name in ("short3", "repeat", "rag20")}
    return (next(streams[kind]) for kind in kinds)


async def send(gateway: Gateway, asked: Request) -> int:
    """Send a request, which must succeed; return how many tokens it had."""
    headers = {"Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=None)
    body = asked.body(None)
    async with gateway.session.post(
        f"{gateway.url}/v1/rerank", data=body, headers=headers, timeout=timeout
    ) as reply:
        said = await reply.json()
        assert reply.status == 200, said
        return int(said["usage"]["total_tokens"])


def long_request(words: int) -> Request:
    """Return a request with one document of so many words, nearly as many tokens."""
    (passage,) = islice(requests("rag20", seed=2), 1)
    pool = " ".join(passage.documents).split()
    return Request(passage.query, (" ".join(random.Random(3).choices(pool, k=words)),))


async def measure(source: Path, dtype: str, count: int, long_words: int) -> dict[str, object]:
    """Serve a checkpoint in one format and return its row."""
    config = _CONFIG.format(source=source, dtype=dtype, anyway=str(dtype == "int8").lower())
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        async with running(config, Path(folder)) as gateway:
            await _until_ready(gateway)
            row: dict[str, object] = {"dtype": dtype}
            row["ready_seconds"] = round(time.perf_counter() - started, 2)
            row["ready"] = asdict(memory_of(processes_of(gateway)))
            for name in _WARM:
                await send(gateway, next(requests(name, seed=0)))
            row["served"] = asdict(memory_of(processes_of(gateway)))
            if count:
                row["soak"] = asdict(await soak(gateway, soaking(), count))
            if long_words:
                began = time.perf_counter()
                tokens = await send(gateway, long_request(long_words))
                row["long"] = {"tokens": tokens, "seconds": round(time.perf_counter() - began, 1)}
                row["after_long"] = asdict(memory_of(processes_of(gateway)))
            return row


async def _until_ready(gateway: Gateway) -> None:
    while True:
        async with gateway.session.get(f"{gateway.url}/readyz") as reply:
            if reply.status == 200:
                return
        assert gateway.process.poll() is None, gateway.log.read_text()
        await asyncio.sleep(0.02)


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option("--dtype", default="bf16,int8", show_default=True, help="Formats, by comma.")
@click.option("--requests", "count", default=2000, show_default=True, help="Of the soak; 0: none.")
@click.option("--long-words", default=0, help="Words of one long document, 32000 for 32K tokens.")
@click.option("--json", "as_json", is_flag=True)
def main(checkpoint: Path | None, dtype: str, count: int, long_words: int, as_json: bool) -> None:
    """Measure CHECKPOINT; without one, random weights of Qwen3-Reranker-0.6B's size."""
    folder = checkpoint or qwen3_06b(Path(tempfile.gettempdir()) / "rerank-gateway-qwen3-0.6b")
    with click.progressbar(dtype.split(","), label="measuring", file=sys.stderr) as formats:
        rows = [asyncio.run(measure(folder.resolve(), one, count, long_words)) for one in formats]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n\n".join(map(_told, rows)))


def _told(row: dict[str, object]) -> str:
    lines = []
    for name, value in row.items():
        said = value
        if isinstance(value, dict):
            said = ", ".join(f"{key} {one:,}" for key, one in value.items())
        lines.append(f"{name.replace('_', ' '):14} {said}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
