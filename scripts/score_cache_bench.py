"""The score cache against the same gateway without it: `scripts/bench-score-cache`.

Two gateways serve the same weights at the same time, one with the cache and one without, and are
asked in turn, so that a busy machine slows both. Requests are those of `gateway bench`, rag20.

| row | what |
|---|---|
| again | a request asked again, over HTTP, against computing it |
| half seen | a stream of requests, half of whose documents were scored before under their query |
| at once | 16 clients that ask the same new request at once, and the pairs that were computed |
| at once, 3 passages | the same with longer documents, for which HTTP matters less |
| nothing repeats | a stream of new requests |
| cached, one core | kept requests a second of a gateway that has a core for itself (fake engine) |
| memory | growth of the gateway's resident memory when the cache is filled three times over |
| from disk | requests that a gateway asks of its disk after a restart, against computing them |
| from Redis | the same of a gateway that has another one's scores in Redis |
| claimed | two gateways that are asked the same new request at once, with Redis and without |
| Redis killed | p99 of two gateways whose Redis is killed 20 times, against one without Redis |
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.cli.bench.workloads import Request, requests
from scripts.gateway_bench import pin
from scripts.score_stores_bench import Row, claimed, from_disk, from_redis, redis_killed
from tests.system.running import Gateway, running

_MODEL = """
score_cache_mb = {megabytes}
[models.m]
source = "{source}"
dtype = "{dtype}"
canary = "numeric"
threads = {threads}
"""
_FAKE = """
score_cache_mb = {megabytes}
[models.m]
source = "fake"
engine = "fake"
"""
_CLIENTS = 16
_LONG_PASSAGES = 3
_FILLED_MB = 16
_FILLING_DOCUMENTS = 1000


async def _ask(gateway: Gateway, asked: Request) -> float:
    """Send a request; return its seconds."""
    started = time.perf_counter()
    status, body, _ = await gateway.rerank(
        [*asked.documents], query=asked.query, timeout_seconds=600
    )
    assert status == 200, body
    return time.perf_counter() - started


async def _both(
    with_cache: Gateway, without: Gateway, work: Callable[[Gateway], Awaitable[float]]
) -> tuple[float, float]:
    return await work(with_cache), await work(without)


def _half_seen(count: int, seed: int) -> Iterator[tuple[Request, Request]]:
    """Yield a request, and one with half of its documents and as many new ones."""
    first, second = requests("rag20", seed=seed), requests("rag20", seed=seed + 1000)
    for old, new in islice(zip(first, second, strict=True), count):
        half = len(old.documents) // 2
        yield old, Request(old.query, old.documents[:half] + new.documents[half:])


async def _again(cached: Gateway, plain: Gateway, rounds: int) -> Row:
    hits, computed = [], []
    for asked in islice(requests("rag20", seed=1), rounds):
        await _ask(cached, asked)
        computed.append(await _ask(plain, asked))
        hits += [await _ask(cached, asked) for _ in range(20)]
    hit, miss = statistics.median(hits), statistics.median(computed)
    return {"row": "again", "cached_ms": 1e3 * hit, "computed_ms": 1e3 * miss, "ratio": miss / hit}


async def _stream(cached: Gateway, plain: Gateway, rounds: int) -> Row:
    times: dict[Gateway, float] = {cached: 0.0, plain: 0.0}
    for old, half in _half_seen(rounds, seed=2):
        await _ask(cached, old)
        for gateway in times:
            times[gateway] += await _ask(gateway, half)
    return _ratio("half seen", times[cached], times[plain])


async def _at_once(
    cached: Gateway, plain: Gateway, rounds: int, passages: int = 1, seed: int = 3
) -> Row:
    """Return the row of clients that ask at once; each document has so many passages."""
    times: dict[Gateway, float] = {cached: 0.0, plain: 0.0}
    pairs = {gateway: -await _computed(gateway) for gateway in times}
    for asked in islice(_long(passages, seed), rounds):
        for gateway in times:
            started = time.perf_counter()
            await asyncio.gather(*(_ask(gateway, asked) for _ in range(_CLIENTS)))
            times[gateway] += time.perf_counter() - started
    for gateway in times:
        pairs[gateway] += await _computed(gateway)
    name = "at once" if passages == 1 else f"at once, {passages} passages a document"
    computed = f"{pairs[cached] // rounds} pairs against {pairs[plain] // rounds}"
    return _ratio(f"{name}: {computed}", times[cached], times[plain])


async def _at_once_long(cached: Gateway, plain: Gateway, rounds: int) -> Row:
    return await _at_once(cached, plain, rounds, _LONG_PASSAGES, seed=7)


def _long(passages: int, seed: int) -> Iterator[Request]:
    """Yield requests whose documents have some passages each."""
    for asked in requests("rag20", seed=seed):
        documents = asked.documents
        places = range(len(documents))
        yield Request(
            asked.query,
            tuple(
                " ".join(documents[(place + step) % len(documents)] for step in range(passages))
                for place in places
            ),
        )


async def _computed(gateway: Gateway) -> int:
    """Return the number of documents that the shards have scored."""
    return sum(shard["documents"] for shard in (await gateway.shards()).values())


async def _nothing_repeats(cached: Gateway, plain: Gateway, rounds: int) -> Row:
    times: dict[Gateway, float] = {cached: 0.0, plain: 0.0}
    for number, asked in enumerate(islice(requests("rag20", seed=4), 4 * rounds)):
        for gateway in (cached, plain) if number % 2 else (plain, cached):
            times[gateway] += await _ask(gateway, asked)
    return _ratio("nothing repeats", times[cached], times[plain])


def _ratio(name: str, cached: float, plain: float) -> Row:
    return {
        "row": name, "cached_ms": 1e3 * cached, "computed_ms": 1e3 * plain, "ratio": plain / cached
    }  # fmt: skip


async def _one_core(folder: Path, seconds: float) -> Row:
    """Return the kept requests a second that one core of a gateway answers."""
    async with running(_FAKE.format(megabytes=64), folder) as gateway:
        await gateway.until_ready()
        pin(gateway)
        (asked,) = islice(requests("rag20", seed=5), 1)
        await _ask(gateway, asked)
        process, count = psutil.Process(gateway.process.pid), 0
        before, end = process.cpu_times(), time.perf_counter() + seconds

        async def client() -> None:
            nonlocal count
            while time.perf_counter() < end:
                await _ask(gateway, asked)
                count += 1

        await asyncio.gather(*(client() for _ in range(8)))
        after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {"row": "cached, one core", "cached_ms": 1e3 * cpu / count, "ratio": count / cpu}


async def _memory(folder: Path) -> Row:
    """Return the growth of a gateway whose cache is filled three times over, per MiB of bound."""
    async with running(_FAKE.format(megabytes=_FILLED_MB), folder) as gateway:
        await gateway.until_ready()
        process = psutil.Process(gateway.process.pid)
        texts = [f"document {number}" for number in range(_FILLING_DOCUMENTS)]
        for number in range(5):
            await gateway.rerank(texts, query=f"warm {number}")
        before = process.memory_info().rss
        for number in range(3 * _FILLED_MB * 1600 // _FILLING_DOCUMENTS):
            await gateway.rerank(texts, query=f"query {number}")
        grown = (process.memory_info().rss - before) / 2**20
    return {
        "row": "memory",
        "cached_ms": grown,
        "computed_ms": _FILLED_MB,
        "ratio": grown / _FILLED_MB,
    }


_Compare = Callable[[Gateway, Gateway, int], Awaitable[Row]]
_COMPARED: Mapping[str, _Compare] = {
    "again": _again,
    "half-seen": _stream,
    "at-once": _at_once,
    "at-once-long": _at_once_long,
    "nothing-repeats": _nothing_repeats,
}
"""The rows of a gateway with the cache against one without."""


async def compare(
    settings: Mapping[str, object], room: Path, rounds: int, names: Sequence[str]
) -> Sequence[Row]:
    """Return these rows of two gateways."""
    folders = [room / name for name in ("cached", "plain")]
    for folder in folders:
        folder.mkdir()
    async with (
        running(_MODEL.format(megabytes=64, **settings), folders[0]) as cached,
        running(_MODEL.format(megabytes=0, **settings), folders[1]) as plain,
    ):
        await cached.until_ready()
        await plain.until_ready()
        return [await _COMPARED[name](cached, plain, rounds) for name in names]


async def measure(
    settings: Mapping[str, object], rounds: int, seconds: float, names: Sequence[str]
) -> Sequence[Row]:
    """Return one row per question; without names those of the stores, too."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as room, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("score cache", total=1 if names else 7)
        rows += await compare(settings, Path(room), rounds, names or list(_COMPARED))
        bar.advance(task)
        if names:
            return rows
        folders = [Path(room) / name for name in ("core", "memory")]
        for folder in folders:
            folder.mkdir()
        rows.append(await _one_core(folders[0], seconds))
        bar.advance(task)
        rows.append(await _memory(folders[1]))
        bar.advance(task)
        for store in (from_disk, from_redis, claimed):
            rows.append(await store(settings, Path(room), rounds))
            bar.advance(task)
        rows.append(await redis_killed(Path(room), seconds))
        bar.advance(task)
    return rows


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="embedded:bert", help="model (default: embedded:bert)")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--rounds", type=int, default=5, help="requests of each row")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the row on one core")
    parser.add_argument(
        "--rows", nargs="*", default=(), choices=[*_COMPARED], help="these alone (default: all)"
    )
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    settings = {"source": flags.source, "dtype": flags.dtype, "threads": 1}
    rows = asyncio.run(measure(settings, flags.rounds, flags.seconds, flags.rows))
    if flags.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(
        "", "with the cache, ms (or MiB)", "without, ms (or MiB)", "ratio (or per second)"
    )
    for row in rows:
        cells = [row.get(name, "") for name in ("cached_ms", "computed_ms", "ratio")]
        shown = [f"{cell:,.2f}" if isinstance(cell, float | int) else "" for cell in cells]
        table.add_row(str(row["row"]), *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
