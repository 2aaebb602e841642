"""Models of three families on a GPU: speed, share of the ceiling, memory, equality with fp32.

Each model in each number format is measured in a process of its own, so that the memory is its
alone: first its margins of one `short3` and one `rag20`, then the memory of a batch that is as full
as the token budget lets it be, then every workload round after round. The clock is read when the
device has done all that it was asked. The share of the ceiling is that of the linears, against one
large product in the same format. `scripts/bench-gpu --help`.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch

from scripts.bench_suite.machine import ceiling
from scripts.engine_bench import Figure, linear_flop, load, measuring, peak_mb, time_request
from scripts.engine_requests import request
from scripts.full_size import lasting, modernbert_base, qwen3_06b, rubert_base
from shards.engines.base import Engine
from shards.engines.layers.linear import FORMATS
from tests import checkpoints

FULL: dict[str, Callable[[Path], Path]] = {
    "qwen3-0.6b": qwen3_06b,
    "rubert-base": rubert_base,
    "modernbert-base": modernbert_base,
}
TINY: dict[str, Callable[[Path], Path]] = {
    "qwen3-0.6b": checkpoints.qwen3,
    "rubert-base": lambda folder: checkpoints.encoder(folder, "bert", types=True, vocab_size=512),
    "modernbert-base": lambda folder: checkpoints.modernbert(folder, vocab_size=512),
}
WORKLOADS = {"short3": 1, "rag20": 1, "rag100": 3, "rag1000": 10}
"""By how much less often than the first each is asked."""
_TOKENS = 8192
_CHILD = 900.0  # seconds; a first start compiles
_NO_GPU = (
    "this PyTorch ({version}) sees no CUDA device. On a machine with one, scripts/setup dev "
    "installs PyPI's build, which has CUDA; `nvidia-smi` shows the driver. "
    "--device cpu --quick tries the script itself"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload; milliseconds and documents a second are of the median round, but for p95."""

    workload: str
    p50_ms: float
    p95_ms: float
    documents_per_second: float
    tokens: int
    share_of_ceiling: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model in one format.

    Attributes: ceiling_tflops: of one product in this format. allocated_mb, reserved_mb: the most
        while full batches are scored, weights included; on a GPU what tensors took and what PyTorch
        held, elsewhere what was resident. loading_mb: the most while loading. notes: what the
        engine chose, and why. margins: of one request of each workload.
    """

    model: str
    dtype: str
    ceiling_tflops: float
    seconds_to_load: float
    loading_mb: float
    allocated_mb: float
    reserved_mb: float
    notes: Sequence[str]
    margins: dict[str, list[float]]
    rows: Sequence[Row]


def measure(
    model: str, folder: Path, dtype: str, device: str, rounds: int, workloads: Sequence[str]
) -> Measured:
    """Measure one model in one format, in this process."""
    started = time.perf_counter()
    engine = load(folder, dtype, device=device, token_budget=_TOKENS)
    seconds = time.perf_counter() - started
    loading = peak_mb(device)
    draw = random.Random(1)
    margins = {name: _margins(engine, name, draw) for name in ("short3", "rag20")}
    allocated, reserved = _memory(engine, device, workloads, draw)
    used = engine.facts.dtype
    top = ceiling(device, FORMATS[used], lambda: _when_done(device))
    return Measured(
        model=model,
        dtype=used,
        ceiling_tflops=round(top / 1e12, 2),
        seconds_to_load=round(seconds, 2),
        loading_mb=round(loading),
        allocated_mb=round(allocated),
        reserved_mb=round(reserved),
        notes=engine.facts.notes,
        margins=margins,
        rows=_rows(engine, folder, device, rounds, workloads, top),
    )


def _when_done(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _margins(engine: Engine, workload: str, draw: random.Random) -> list[float]:
    return engine.score(request(engine, workload, draw))


def _memory(
    engine: Engine, device: str, workloads: Sequence[str], draw: random.Random
) -> tuple[float, float]:
    """Return the MiB that full batches take at most: what tensors took, and what PyTorch held.

    The batches are those of rag100, or of the largest workload that is measured.
    """
    is_gpu = device.startswith("cuda")
    if is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    largest = "rag100" if "rag100" in workloads else workloads[-1]
    time_request(engine, request(engine, largest, draw))
    reserved = torch.cuda.max_memory_reserved(device) / 2**20 if is_gpu else peak_mb(device)
    return peak_mb(device), reserved


def _rows(
    engine: Engine, folder: Path, device: str, rounds: int, workloads: Sequence[str], top: float
) -> list[Row]:
    seen: dict[str, list[Figure]] = {}
    draw = random.Random(0)
    with measuring(rounds) as step:
        for at in range(rounds):
            for name in (one for one in workloads if at % WORKLOADS[one] == 0):
                pairs = request(engine, name, draw)
                asked = (name, f"{name}, repeated") if pairs[0].prefix else (name,)
                for how in asked:
                    figure = time_request(engine, pairs, lambda: _when_done(device))
                    seen.setdefault(how, []).append(figure)
            step()
    return [_row(name, figures, folder, top) for name, figures in seen.items()]


def _row(name: str, figures: list[Figure], folder: Path, top: float) -> Row:
    """Return what some rounds say; the first warms up, unless it is the only one."""
    counted = figures[1:] or figures
    seconds = sorted(figure.seconds for figure in counted)
    middle = statistics.median(seconds)
    late = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else middle
    last = figures[-1]
    return Row(
        workload=name,
        p50_ms=round(middle * 1e3, 3),
        p95_ms=round(late * 1e3, 3),
        documents_per_second=round(last.documents / middle, 1),
        tokens=last.tokens,
        share_of_ceiling=round(flop(folder, last) / middle / top, 4),
    )


def flop(folder: Path, figure: Figure) -> float:
    """Return the FLOP of the linears for what was computed; attention comes on top."""
    config = json.loads((folder / "config.json").read_text())
    if "num_key_value_heads" in config:
        return linear_flop(folder, figure)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    is_gated, is_mean = (
        config["model_type"] == "modernbert",
        config.get("classifier_pooling") == "mean",
    )
    rest = 2 * hidden * (hidden + (3 if is_gated else 2) * inner)
    of_all = config["num_hidden_layers"] * (6 * hidden * hidden + rest)
    if is_mean:
        return float(figure.tokens * of_all)
    return float(figure.tokens * (of_all - rest) + figure.documents * rest)


def verdicts(measured: Sequence[Measured], device: str) -> Iterator[dict[str, Any]]:
    """Yield requirement, figure and verdict; equality on every device, the rest on GPUs."""
    exact = {one.model: one.margins for one in measured if one.dtype == "fp32"}
    for one in measured:
        if one.dtype != "fp32" and one.model in exact:
            for workload, expected in exact[one.model].items():
                pairs = zip(one.margins[workload], expected, strict=True)
                apart = max(abs(found - wanted) for found, wanted in pairs)
                yield _verdict(one, f"{workload}: largest difference from fp32", apart, 0.1)
        if device.startswith("cuda") and one.model == "qwen3-0.6b" and one.dtype != "fp32":
            yield _verdict(
                one, "GB allocated, 8,192 tokens a batch", one.allocated_mb * 2**20 / 1e9, 4.0
            )
            yield _verdict(
                one, "GB reserved, 8,192 tokens a batch", one.reserved_mb * 2**20 / 1e9, 4.0
            )
            for row in one.rows:
                if row.workload == "short3":
                    yield _verdict(one, "short3: p95 in ms", row.p95_ms, 20.0)
                if row.workload == "rag1000":
                    lost = 1 - row.share_of_ceiling
                    yield _verdict(one, "rag1000: share of the ceiling that is lost", lost, 0.5)


def _verdict(one: Measured, what: str, found: float, most: float) -> dict[str, Any]:
    return {
        "what": f"{one.model} {one.dtype}, {what}",
        "at_most": most,
        "found": round(found, 4),
        "met": found <= most,
    }


@click.command()
@click.option("--device", default="cuda:0", show_default=True)
@click.option("--model", default=",".join(FULL), show_default=True, help="Names, by comma.")
@click.option(
    "--dtype",
    default="fp32,auto",
    show_default=True,
    help="Formats, by comma; fp32 is what others are compared with.",
)
@click.option(
    "--rounds", default=41, show_default=True, help="Of short3 and rag20; the first warms up."
)
@click.option(
    "--quick", is_flag=True, help="Tiny models, short3 and rag20, three rounds: to try the script."
)
@click.option(
    "--alone",
    type=click.Path(path_type=Path),
    help="Measure one model, of this folder, in this process, and print JSON.",
)
@click.option("--json", "as_json", is_flag=True)
def main(
    device: str, model: str, dtype: str, rounds: int, quick: bool, alone: Path | None, as_json: bool
) -> None:
    """Measure models like Qwen3-Reranker-0.6B, rubert-base and ModernBERT-base on a GPU."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise click.ClickException(_NO_GPU.format(version=torch.__version__))
    rounds = 3 if quick else rounds
    workloads = list(WORKLOADS)[: 2 if quick else None]
    if alone:
        one = measure(model, alone, dtype, device, rounds, workloads)
        click.echo(json.dumps(asdict(one)))
        return
    with tempfile.TemporaryDirectory() if quick else nullcontext() as room:
        measured = []
        for name in model.split(","):
            folder = TINY[name](Path(room) / name) if room else FULL[name](lasting(name))
            measured += [
                _in_own_process(name, folder, one, device, rounds, quick)
                for one in dtype.split(",")
            ]
    said = {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "torch": str(torch.__version__),
        "verdicts": list(verdicts(measured, device)),
        "measured": [asdict(one) for one in measured],
    }
    click.echo(json.dumps(said, indent=2) if as_json else _table(said, measured))


def _in_own_process(
    model: str, folder: Path, dtype: str, device: str, rounds: int, quick: bool
) -> Measured:
    click.echo(f"{model} in {dtype}", err=True)
    asked = ["--device", device, "--model", model, "--dtype", dtype, "--rounds", str(rounds)]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "scripts.gpu_bench",
            *asked,
            "--alone",
            str(folder),
            *["--quick"] * quick,
        ],
        stdout=subprocess.PIPE,
        timeout=_CHILD,
        check=False,
        text=True,
    )
    if run.returncode:
        raise click.ClickException(
            f"{model} in {dtype} could not be measured (exit {run.returncode})"
        )
    said = json.loads(run.stdout.splitlines()[-1])
    return Measured(**{**said, "rows": [Row(**row) for row in said["rows"]]})


def _table(said: dict[str, Any], measured: Sequence[Measured]) -> str:
    lines = [f"{said['device']}, torch {said['torch']}"]
    for one in measured:
        lines.append(
            f"{one.model} {one.dtype}: ceiling {one.ceiling_tflops} TFLOP/s, "
            f"loaded in {one.seconds_to_load} s; MiB while loading {one.loading_mb:.0f}, "
            f"allocated {one.allocated_mb:.0f}, reserved {one.reserved_mb:.0f}"
        )
        lines += [f"    {note}" for note in one.notes]
        lines += [
            f"  {row.workload:18} p50 {row.p50_ms:10.2f} ms  p95 {row.p95_ms:10.2f} ms"
            f"  {row.documents_per_second:9.1f} documents/s  {row.tokens:7} tokens"
            f"  {row.share_of_ceiling:6.1%} of the ceiling"
            for row in one.rows
        ]
    for verdict in said["verdicts"]:
        met = "met" if verdict["met"] else "NOT MET"
        lines.append(f"{verdict['what']}: {verdict['found']}, at most {verdict['at_most']}: {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
