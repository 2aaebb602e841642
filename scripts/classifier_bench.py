"""Cross-encoders by themselves, without gateway and pipe: our engines beside plain loops.

Forty pairs of mixed lengths are scored by every contestant in turn, round after round, so that a
busy machine slows them alike; what counts is the best round, and ratios. Before that every
contestant's margins are compared with those of the naive loop. The weights are random:
`scripts/bench-classifier`.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch

from scripts.bench_suite.machine import Clock, ceilings
from scripts.engine_bench import bench_spec, load, measuring
from scripts.engine_requests import batches, cut
from scripts.full_size import lasting, modernbert_base, rubert_base
from shards.checkpoint import open_checkpoint
from shards.cost import packed_work, padded_work
from shards.engines.base import Engine
from shards.engines.encoder.bert_formats import pairs_to_measure
from shards.engines.encoder.setup import pair_setup
from shards.engines.graph.conversion import checked_record
from shards.engines.graph.openvino_convert import Calibration, convert
from shards.engines.layers.padding import padded_inputs
from shards.machine import devices
from shards.pairs import TokenizedPair
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec

Pairs = Sequence[TokenizedPair]
Batches = Callable[[Pairs], list[list[TokenizedPair]]]

_PAIRS = 40
_BOUNDS = {
    "fp32": 1e-3,
    "bf16": 0.1,
    "int8": 0.3,
}  # margins of these weights spread over about 0.5
_NAIVE = "naive fp32, batches of 8"
_SHAPES = {"rubert-base": rubert_base, "modernbert-base": modernbert_base}
_ENGINES = "classifier,openvino"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that scores pairs.

    Attributes:
        name: what it is.
        dtype: its number format.
        score: one batch.
        batches: how it cuts pairs into batches.
        packed: whether its batches have no padding.
    """

    name: str
    dtype: str
    score: Callable[[Pairs], list[float]]
    batches: Batches
    packed: bool = False

    def margins(self, pairs: Pairs) -> list[float]:
        """Return the margin of each pair, in the order given."""
        found = {
            id(pair): margin
            for batch in self.batches(pairs)
            for pair, margin in zip(batch, self.score(batch), strict=True)
        }
        return [found[id(pair)] for pair in pairs]

    def padding_share(self, pairs: Pairs) -> float:
        """Return how much of what it computes is padding."""
        work = packed_work if self.packed else padded_work
        computed = sum(sum(work(batch).computed) for batch in self.batches(pairs))
        return 1 - sum(map(len, pairs)) / computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one contestant.

    Attributes:
        times_naive: how many times as fast as the naive loop.
        largest_difference: of a margin from the naive loop's.
    """

    name: str
    milliseconds: float
    tokens_per_second: int
    times_naive: float
    padding_share: float
    largest_difference: float


def mixed_pairs() -> list[TokenizedPair]:
    """Return pairs of random tokens; lengths are log-normal, as those of passages."""
    draw = random.Random(0)
    lengths = [int(min(400, max(30, draw.lognormvariate(4.8, 0.5)))) for _ in range(_PAIRS)]
    return [
        TokenizedPair(draw.choices(range(1000, 50_000), k=length), min(15, length), False)
        for length in lengths
    ]


def in_order(pairs: Pairs) -> list[list[TokenizedPair]]:
    """Cut into batches of eight as they come."""
    return [list(pairs[first : first + 8]) for first in range(0, len(pairs), 8)]


def by_length(pairs: Pairs) -> list[list[TokenizedPair]]:
    """Cut into batches of 32, the longest first, as sentence-transformers does."""
    ordered = sorted(pairs, key=len, reverse=True)
    return [ordered[first : first + 32] for first in range(0, len(ordered), 32)]


def plain_loops(folder: Path) -> list[Contestant]:
    """Return loops over the transformers model, padded."""
    in_fp32, in_bf16 = (_plain(folder, form) for form in (torch.float32, torch.bfloat16))
    budget = devices.pick_token_budget(bench_spec(folder, "bf16"), "cpu")
    return [
        Contestant(_NAIVE, "fp32", in_fp32, in_order),
        Contestant("fp32, batches of 32 by length", "fp32", in_fp32, by_length),
        Contestant(
            "bf16, batches by token budget",
            "bf16",
            in_bf16,
            lambda pairs: list(cut(pairs, packed=False, token_budget=budget)),
        ),
    ]


def _plain(folder: Path, form: torch.dtype) -> Callable[[Pairs], list[float]]:
    """Return the transformers model in a format, as something that scores a batch."""
    from transformers import AutoModelForSequenceClassification

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=form).eval()
    has_types = getattr(model.config, "type_vocab_size", 0) > 1

    @torch.inference_mode()
    def score(batch: Pairs) -> list[float]:
        inputs = padded_inputs(batch, pad_id=0, types=has_types)
        margins: list[float] = model(**inputs).logits[:, 0].tolist()
        return margins

    return score


def contestants(
    folder: Path, engines: Sequence[str], formats: Sequence[str], threads: int
) -> list[Contestant]:
    """Return everything that is compared; conversions are made where they are missing."""
    found = plain_loops(folder)
    for name in engines:
        for dtype in formats:
            engine = _engine(folder, name, dtype, threads)
            if engine.facts.dtype != dtype:
                click.echo(f"{name} {dtype}: {'; '.join(engine.facts.warnings)}", err=True)
                continue
            found.append(_of_engine(engine))
    return found


def _of_engine(engine: Engine) -> Contestant:
    facts = engine.facts
    return Contestant(
        f"{facts.engine} {facts.dtype}",
        facts.dtype,
        engine.score,
        lambda pairs: list(batches(engine, pairs)),
        facts.packed,
    )


def _engine(folder: Path, name: str, dtype: str, threads: int) -> Engine:
    if name == "openvino":
        convert_once(folder, dtype)
    return load(folder, dtype, engine=name, threads=threads)


def convert_once(folder: Path, dtype: str) -> None:
    """Make the conversion for OpenVINO of a checkpoint with random weights, unless it is there."""
    spec = bench_spec(folder, dtype, engine="openvino")
    checkpoint = open_checkpoint(spec, _say)
    try:
        checked_record(checkpoint, dtype)
    except Refusal:
        parts = pair_setup(spec, checkpoint)
        known = Calibration(pairs_to_measure(parts.tokenizer), "built-in")
        with redirect_stdout(sys.stderr):  # NNCF draws bars there, where our JSON goes
            convert(checkpoint, parts, dtype=dtype, calibration=known, anyway=True, report=_say)


def _say(line: str) -> None:
    click.echo(line, err=True)


def measure(found: Sequence[Contestant], pairs: Pairs, rounds: int, clock: Clock) -> list[Row]:
    """Compare margins, then time all contestants in turn."""
    exact = found[0].margins(pairs)
    differences = {one.name: _difference(one, pairs, exact) for one in found}
    best = dict.fromkeys(differences, float("inf"))
    with measuring(rounds * len(found)) as step:
        for _ in range(rounds):
            for one in found:
                started = clock()
                one.margins(pairs)
                best[one.name] = min(best[one.name], clock() - started)
                step()
    tokens = sum(map(len, pairs))
    return [
        Row(
            name=one.name,
            milliseconds=round(best[one.name] * 1e3, 1),
            tokens_per_second=round(tokens / best[one.name]),
            times_naive=round(best[_NAIVE] / best[one.name], 2),
            padding_share=round(one.padding_share(pairs), 4),
            largest_difference=differences[one.name],
        )
        for one in found
    ]


def _difference(one: Contestant, pairs: Pairs, exact: Sequence[float]) -> float:
    largest = max(abs(a - b) for a, b in zip(one.margins(pairs), exact, strict=True))
    if not largest <= _BOUNDS[one.dtype]:
        _say(f"{one.name}: margins differ by {largest:.4f}, more than {_BOUNDS[one.dtype]}")
        sys.exit(1)
    return largest


@click.command()
@click.option("--shape", type=click.Choice(list(_SHAPES)), default="rubert-base", show_default=True)
@click.option("--engines", default=_ENGINES, show_default=True, help="By comma.")
@click.option("--dtype", default="fp32,bf16,int8", show_default=True, help="Formats, by comma.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=0, help="Compute threads; 0 for as many as cores.")
@click.option(
    "--cpu-time",
    is_flag=True,
    help="Time on cores, not the clock's: with --threads 1 beside others.",
)
@click.option("--json", "as_json", is_flag=True)
def main(
    shape: str, engines: str, dtype: str, rounds: int, threads: int, cpu_time: bool, as_json: bool
) -> None:
    """Measure cross-encoders on random weights of a usual size, 40 pairs of mixed lengths.

    Exit code 1: the margins of a contestant are wrong.
    """
    devices.prepare(ShardSpec(name="bench/cpu", model="bench", source="", threads=threads))
    if threads:
        torch.set_num_threads(threads)
    clock = time.process_time if cpu_time else time.perf_counter
    folder = _SHAPES[shape](lasting(shape))
    pairs = mixed_pairs()
    rows = measure(
        contestants(folder, engines.split(","), dtype.split(","), threads), pairs, rounds, clock
    )
    found = ceilings(clock)
    if as_json:
        said = {"tokens": sum(map(len, pairs)), "ceilings_gflops": found}
        click.echo(json.dumps(said | {"rows": [asdict(row) for row in rows]}, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row.name:31} {row.milliseconds:9.1f} ms {row.tokens_per_second:7} tokens/s "
            f"{row.times_naive:6.2f} x naive  padding {row.padding_share:5.1%}  "
            f"margins within {row.largest_difference:.4f}"
        )
    click.echo(f"{sum(map(len, pairs))} tokens; GFLOP/s of one product: {found}")


if __name__ == "__main__":
    main()
