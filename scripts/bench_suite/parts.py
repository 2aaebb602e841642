"""Measurements beside the rounds: a busy core, padding, cost by number of documents, overhead."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

from scripts.bench_suite.asking import ask
from scripts.bench_suite.contestants import Contestant, Places, gateway
from scripts.bench_suite.musts import BUSY, QUIET
from scripts.bench_suite.rounds import Field, Say
from scripts.bench_suite.servers import ROOT, started
from scripts.bench_suite.workloads import passages, steps
from scripts.engine_bench import company

_QUIET_AND_BUSY_ROUNDS = 2
_PADDING = "reranker_padding_share{"
MOST_WORDS = 40
"""Of the passages of which a model of usual size gets up to ten thousand."""
_COUNTS = {10: 50, 100: 15, 1000: 3, 10_000: 1}
"""Requests by number of documents, sent in rounds so that a slow minute hits all sizes alike."""
_ROUNDS = 5


def measure_busy(field: Field, contestants: Sequence[Contestant]) -> None:
    """Measure our servers on one `rag20`, alone and beside a process that keeps one core busy."""
    (step,) = steps(["rag20"], 100, repeats=False)
    ours = [one.name for one in contestants if one.ours and one.name in field.running]
    for name in ours:
        seconds = field.figures[name].seconds
        with field.alone(name) as running:
            for number in range(_QUIET_AND_BUSY_ROUNDS):
                for workload, beside in ((QUIET, nullcontext), (BUSY, company)):
                    asked = replace(step.asked, query=f"{step.asked.query} {workload} {number}")
                    with beside():
                        seconds.setdefault(workload, []).append(ask(running.url, asked).seconds)


def padding_share(field: Field, name: str) -> float | None:
    """Return the share of padding in the tokens that our server computed."""
    if name not in field.running:
        return None
    with (
        field.alone(name) as running,
        urllib.request.urlopen(running.url + "/metrics", timeout=30) as reply,
    ):
        lines = reply.read().decode().splitlines()
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_PADDING)]
    return max(found, default=None)


def document_counts(most: int) -> list[int]:
    """Return the numbers of documents in the requests of `cost_per_document`."""
    return [count for count in _COUNTS if count <= most]


def cost_per_document(
    places: Places, dtype: str, say: Say, *, most: int = 10_000, most_words: int = 10_000
) -> dict[str, float]:
    """Return the median seconds for one document, by the number of documents in one request."""
    with started(gateway(dtype)(places), places.scratch / "documents.log") as running:
        ask(running.url, passages(10, most_words))
        seconds: dict[int, list[float]] = {}
        for count in _in_rounds(document_counts(most)):
            if count not in seconds:
                say(f"{count:,} documents in one request to {places.checkpoint.name}")
            took = ask(running.url, passages(count, most_words)).seconds
            seconds.setdefault(count, []).append(took)
    return {str(count): median(some) / count for count, some in seconds.items()}


def _in_rounds(counts: Sequence[int]) -> Iterator[int]:
    for number in range(_ROUNDS):
        for count in counts:
            yield from [count] * (_COUNTS[count] // _ROUNDS or int(number < _COUNTS[count]))


def overhead(seconds: int) -> list[dict[str, Any]]:
    """Return the rows of `scripts/bench-gateway`: the gateway's own time.

    Raises:
        RuntimeError: it cannot be measured; the message has the reason.
    """
    command = [sys.executable, "-m", "scripts.gateway_bench", "--json", "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[-1] if said else "scripts/bench-gateway failed")
    rows: list[dict[str, Any]] = json.loads(done.stdout)["clients"]
    return rows
