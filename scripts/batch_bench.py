"""A file of requests beside one request after the other: `scripts/bench-batch`.

The fake engine scores in no time, so what is measured is everything else: reading, HTTP, parsing,
the pipe to the shard and back, and the output. Gateway, shard and client share the cores of this
machine. One request after the other is sent over one connection that stays open, by the least that
a client can do: a prepared body, a reply that is read and not parsed. It is measured before and
after the batch, and the faster one counts. The batch is the whole command, with its start; every
score of its output is compared with the fake engine's.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import orjson

from gateway.domain.request import sigmoid
from scripts.gateway_bench import FAKE_CONFIG
from shards.engines.fake import margin
from tests.system.running import running


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run.

    Attributes:
        lines: lines of the file.
        documents: documents of each.
        one_by_one: lines per second, one request after the other; the better of two measurements.
        batch: lines per second of the command.
        times: `batch` over `one_by_one`.
        client_cpu_seconds: CPU time of the command.
        client_mebibytes: largest resident size of a child process so far: the command's.
    """

    lines: int
    documents: int
    one_by_one: float
    batch: float
    times: float
    client_cpu_seconds: float
    client_mebibytes: float


def requests(lines: int, documents: int) -> Iterator[dict[str, object]]:
    """Yield the requests of the file."""
    for number in range(lines):
        yield {
            "id": f"q{number}",
            "query": f"what is said about number {number}?",
            "documents": [
                f"passage {place} about number {number}, of about a dozen common words in all"
                for place in range(documents)
            ],
        }


def write_file(path: Path, lines: int, documents: int) -> None:
    with path.open("wb") as stream:
        for request in requests(lines, documents):
            stream.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))


async def one_by_one(url: str, lines: int, documents: int) -> float:
    """Return the lines per second of one request after the other."""
    bodies = [orjson.dumps(request) for request in requests(lines, documents)]
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        started = time.perf_counter()
        for body in bodies:
            async with session.post(f"{url}/v1/rerank", data=body) as reply:
                await reply.read()
                reply.raise_for_status()
        return lines / (time.perf_counter() - started)


def batch(url: str, file: Path, output: Path, flags: list[str]) -> float:
    """Run the command on the whole file; return its seconds."""
    command = [sys.executable, "-m", "gateway", "rerank", str(file), "--url", url]
    started = time.perf_counter()
    subprocess.run([*command, "--output", str(output), *flags], check=True)
    return time.perf_counter() - started


def check(output: Path, lines: int, documents: int) -> None:
    """Compare every score of the output with the fake engine's; raises `AssertionError`."""
    with output.open("rb") as stream:
        for request, row in zip(requests(lines, documents), stream, strict=True):
            answer, texts = orjson.loads(row), request["documents"]
            assert isinstance(texts, list)
            assert answer["id"] == request["id"], (answer, request)
            found = {each["index"]: each["relevance_score"] for each in answer["results"]}
            wanted = {
                index: sigmoid(margin(str(request["query"]), text))
                for index, text in enumerate(texts)
            }
            assert found == wanted, (answer, request)


async def measure(lines: int, documents: int, baseline: int, flags: list[str]) -> Figures:
    """Measure both ways in one run, against one gateway."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, output = folder / "questions.jsonl", folder / "answers.jsonl"
        write_file(file, lines, documents)
        async with running(FAKE_CONFIG, folder) as gateway:
            await gateway.until_ready()
            await one_by_one(gateway.url, 200, documents)  # warm
            before = await one_by_one(gateway.url, baseline, documents)
            cpu = _children_cpu()
            seconds = await asyncio.to_thread(batch, gateway.url, file, output, flags)
            cpu = _children_cpu() - cpu
            after = await one_by_one(gateway.url, baseline, documents)
        check(output, lines, documents)
    best = max(before, after)
    size = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Figures(lines, documents, best, lines / seconds, lines / seconds / best, cpu, size)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, check the scores, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=3, help="of each line")
    parser.add_argument("--one-by-one", type=int, default=3000, help="lines sent one by one")
    parser.add_argument("--json", action="store_true")
    flags, others = parser.parse_known_args()
    figures = asyncio.run(measure(flags.lines, flags.documents, flags.one_by_one, others))
    if flags.json:
        sys.stdout.write(json.dumps(asdict(figures)) + "\n")
        return
    sys.stdout.write(
        f"{figures.lines:,} lines of {figures.documents} documents; every score is right\n"
        f"one request after the other: {figures.one_by_one:,.0f} lines/s\n"
        f"gateway rerank FILE:         {figures.batch:,.0f} lines/s, {figures.times:.1f} times\n"
        f"client: {figures.client_cpu_seconds:.1f} s of CPU, "
        f"at most {figures.client_mebibytes:.0f} MiB resident\n"
    )


if __name__ == "__main__":
    main()
