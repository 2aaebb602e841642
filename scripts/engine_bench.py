"""Speed of one engine alone, without gateway and pipe: seconds, tokens, share of the ceiling.

All formats and the ceiling are measured in turn, round after round, so that a busy machine slows
them alike; what is told is the best round. `scripts/bench-engine --help`, `scripts/bench-gpu`.
"""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch

from scripts.bench_suite.machine import Clock, ceiling
from scripts.engine_requests import batches, request
from scripts.full_size import decoder_folder
from scripts.passes import THROUGH, passing
from shards.cost import padded_work
from shards.engines import load_engine
from shards.engines.base import CountsWork, Engine
from shards.machine import devices
from shards.native.library import without_kernels
from shards.pairs import TokenizedPair
from shards.wire.spec import ShardSpec


@dataclass(frozen=True, slots=True)
class Figure:
    """One workload, once.

    Attributes:
        seconds: of all its batches.
        tokens: computed, padding included.
        documents: scored.
    """

    seconds: float
    tokens: int
    documents: int


def time_request(
    engine: Engine, pairs: Sequence[TokenizedPair], clock: Clock = time.perf_counter
) -> Figure:
    """Score the pairs of one request as a shard does: the longest first, batch by batch."""
    tokens = 0
    started = clock()
    for batch in batches(engine, pairs):
        engine.score(batch)
        work = engine.last_work if isinstance(engine, CountsWork) else padded_work(batch)
        tokens += sum(work.computed)
    return Figure(clock() - started, tokens, len(pairs))


def linear_flop(folder: Path, figure: Figure) -> float:
    """Return the FLOP of the linears for what a decoder must compute; attention comes on top."""
    config = json.loads((folder / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    rest = (
        2 * hidden * (2 * queries + 3 * inner)
    )  # of what the last layer does for last tokens only
    layer = rest + 2 * hidden * 2 * keys
    layers = config["num_hidden_layers"]
    tokens = figure.tokens * (layer * layers - rest)
    return float(tokens + figure.documents * rest)


def peak_mb(device: str) -> float:
    """Return the most memory so far, in MiB: of the GPU, or resident."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The best rounds of one workload in one format."""

    dtype: str
    workload: str
    milliseconds: float
    p95_milliseconds: float
    documents_per_second: float
    tokens: int
    share_of_ceiling: float


def measure(
    engines: dict[str, tuple[Engine, Path]],
    workloads: Sequence[str],
    rounds: int,
    device: str,
    clock: Clock = time.perf_counter,
) -> list[Row]:
    """Measure every engine with every workload, in turn; `short3` also with its query repeated."""
    seen: dict[tuple[str, str], list[Figure]] = {}
    ceilings: list[float] = []
    draw = random.Random(0)
    with measuring(rounds * len(engines) * len(workloads)) as step:
        for _ in range(rounds):
            ceilings.append(ceiling(device, torch.bfloat16, clock))
            for dtype, (engine, _) in engines.items():
                for workload in workloads:
                    pairs = request(engine, workload, draw)
                    for name in (workload, f"{workload}, repeated"):
                        seen.setdefault((dtype, name), []).append(
                            time_request(engine, pairs, clock)
                        )
                    step()
    return [
        _row(dtype, name, figures, linear_flop(engines[dtype][1], figures[0]), max(ceilings))
        for (dtype, name), figures in seen.items()
    ]


def _row(dtype: str, name: str, figures: list[Figure], flop: float, ceiling: float) -> Row:
    seconds = sorted(figure.seconds for figure in figures)
    tokens = figures[0].tokens
    per_token = flop / max(1, tokens)
    share = max(figure.tokens * per_token / figure.seconds for figure in figures) / ceiling
    return Row(
        dtype=dtype,
        workload=name,
        milliseconds=round(seconds[0] * 1e3, 2),
        p95_milliseconds=round(seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))] * 1e3, 2),
        documents_per_second=round(figures[0].documents / seconds[0], 1),
        tokens=tokens,
        share_of_ceiling=round(share, 3),
    )


@contextmanager
def measuring(steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar; call what it gives after each step."""
    with click.progressbar(length=steps, label="measuring", file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def largest_difference(engines: dict[str, tuple[Engine, Path]]) -> dict[str, float]:
    """Return by how much margins differ at most from the first engine's, over 20 passages."""
    draw = random.Random(1)
    (first, _), *_ = engines.values()
    pairs = request(first, "rag20", draw)
    expected = first.score(pairs)
    return {
        dtype: max(abs(a - b) for a, b in zip(engine.score(pairs), expected, strict=True))
        for dtype, (engine, _) in engines.items()
    }


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Devices, by comma; the ceiling is that of the first one.",
)
@click.option("--dtype", default="bf16,int8", show_default=True, help="Formats, by comma.")
@click.option("--workload", default="short3,rag20", show_default=True, help="Names, by comma.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=0, help="Compute threads; 0 for as many as cores.")
@click.option("--token-budget", default=0, help="Tokens of one batch; 0 for the engine's choice.")
@click.option("--busy", is_flag=True, help="Keep one core busy with another process meanwhile.")
@click.option(
    "--cpu-time",
    is_flag=True,
    help="Time on cores, not the clock's: with --threads 1 beside others.",
)
@click.option("--plain", is_flag=True, help="PyTorch's operations instead of our kernels in C.")
@click.option(
    "--transformers",
    default="",
    help=f"Passes of transformers' modules to measure as well: {', '.join(THROUGH)}, by comma.",
)
@click.option("--json", "as_json", is_flag=True)
def main(
    checkpoint: Path | None,
    device: str,
    dtype: str,
    workload: str,
    rounds: int,
    threads: int,
    token_budget: int,
    busy: bool,
    cpu_time: bool,
    plain: bool,
    transformers: str,
    as_json: bool,
) -> None:
    """Measure engines on CHECKPOINT; without one, on random weights of Qwen3-Reranker-0.6B's size.

    `mxbai-rerank` as CHECKPOINT stands for random weights of mxbai-rerank-base-v2's size.
    """
    if plain:
        click.get_current_context().with_resource(without_kernels())
    folder = decoder_folder(checkpoint)
    engines: dict[str, tuple[Engine, Path]] = {}
    loading = {}
    first, *others = device.split(",")
    ways = ["", *filter(None, transformers.split(","))]
    for place, one, through in product((first, *others), dtype.split(","), ways):
        started = time.perf_counter()
        with passing(through):
            engine = load(folder, one, device=place, threads=threads, token_budget=token_budget)
        name = " ".join(filter(None, (one, through, place if place in others else "")))
        engines[name] = (engine, folder)
        loading[name] = round(time.perf_counter() - started, 2)
    clock = time.process_time if cpu_time else time.perf_counter
    with company() if busy else nullcontext():
        rows = measure(engines, workload.split(","), rounds, first, clock)
    said: dict[str, Any] = {
        "seconds_to_load": loading,
        "ceiling_gflops": round(ceiling(first, torch.bfloat16, clock) / 1e9),
        "peak_mb": round(peak_mb(first)),
        "largest_difference": largest_difference(engines),
        "notes": {name: engine.facts.notes for name, (engine, _) in engines.items()},
        "rows": [asdict(row) for row in rows],
    }
    click.echo(json.dumps(said, indent=2) if as_json else _table(said, rows))


@contextmanager
def company() -> Iterator[None]:
    """Keep one core busy with another process while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def load(
    folder: Path,
    dtype: str,
    *,
    engine: str = "auto",
    device: str = "cpu",
    threads: int = 0,
    token_budget: int = 0,
) -> Engine:
    """Return an engine that is warm, with random weights allowed in int8."""
    spec = bench_spec(folder, dtype, engine=engine, device=device, threads=threads)
    spec = replace(spec, token_budget=token_budget)
    devices.prepare(spec)
    if threads:
        torch.set_num_threads(threads)
    loaded = load_engine(spec, lambda line: click.echo(line, err=True))
    loaded.warm_up()
    return loaded


def bench_spec(
    folder: Path, dtype: str, *, engine: str = "auto", device: str = "cpu", threads: int = 0
) -> ShardSpec:
    """Return the spec of a shard that is measured."""
    return ShardSpec(
        name=f"bench/{device}",
        model="bench",
        source=str(folder),
        engine=engine,
        dtype=dtype,
        device=device,
        threads=threads,
        int8_anyway=True,
        offline=True,
    )


def _table(said: dict[str, Any], rows: Sequence[Row]) -> str:
    lines = [
        f"{row.dtype:12} {row.workload:18} {row.milliseconds:10.2f} ms  "
        f"p95 {row.p95_milliseconds:10.2f} ms  {row.documents_per_second:9.1f} documents/s  "
        f"{row.tokens:7} tokens  {row.share_of_ceiling:6.1%} of the bf16 ceiling"
        for row in rows
    ]
    lines += [f"{name}: {value}" for name, value in said.items() if name != "rows"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
