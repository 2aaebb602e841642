"""Cross-encoders through OpenVINO, from a conversion that was checked against the checkpoint.

`gateway convert` makes the conversion (`openvino_convert`); here it is only read. One that is
missing, unchecked or of other weights is refused with the command to run. One in int8 that does not
rank as bf16 does serves only at the operator's request; where the spec names this engine, its bf16
serves instead. Under `auto` a conversion serves where it is measured faster than the checkpoint.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from shards.checkpoint import Checkpoint, open_checkpoint
from shards.engines.base import Engine
from shards.engines.encoder.setup import expect_own_head, pair_setup
from shards.engines.formats import compare, disagreement, margins_of_known_pairs, refusal_of
from shards.engines.graph.conversion import (
    Record,
    checked_record,
    converted,
    folder_of,
    graph_of,
    notes_of,
)
from shards.engines.graph.graph_engine import GraphEngine
from shards.engines.graph.openvino_runtime import compiled
from shards.machine import devices
from shards.pairs import Batch, TokenizedPair
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_AUTO = ("bf16", "fp32")  # int8 changes scores, so it has to be requested by name
_LENGTHS = (48, 160, 96, 128)  # tokens of the measured pairs, different as those of requests
_ROUNDS = 2
_TOKEN = 5


def load(spec: ShardSpec, report: Report) -> GraphEngine:
    """Load a converted cross-encoder; see `shards.engines.base.Load`."""
    if spec.device != "cpu":
        raise Refusal(
            f"the engine openvino computes on CPUs, not on {spec.device}: set devices to cpu",
            ExitCode.SPEC,
        )
    checkpoint = open_checkpoint(spec, report)
    dtype = _dtype(spec, checkpoint)
    engine, record = _made(spec, checkpoint, dtype, report)
    return engine if dtype != "int8" else _settled(engine, record, spec, checkpoint, report)


def _made(
    spec: ShardSpec, checkpoint: Checkpoint, dtype: str, report: Report
) -> tuple[GraphEngine, Record]:
    report(f"checking the conversion in {dtype}")
    record = checked_record(checkpoint, dtype)
    parts = pair_setup(spec, checkpoint)
    expect_own_head(parts.recipe, checkpoint.name, "openvino")
    report("compiling the graph")
    run, inputs = compiled(
        graph_of(folder_of(checkpoint, dtype)), dtype, spec.threads or len(spec.cores)
    )
    facts = Facts(
        engine="openvino",
        device="cpu",
        dtype=dtype,
        max_length=parts.max_length,
        token_budget=devices.pick_token_budget(spec, "cpu"),
        activation=parts.recipe.activation,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=f"openvino {record.graph}",
        files=checkpoint.fingerprint,
        notes=notes_of(record),
        warnings=parts.doubts + parts.warnings,
        doubts=parts.doubts,
    )
    engine = GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        tokenizer=parts.tokenizer,
        facts=facts,
    )
    return engine, record


def _settled(
    int8: GraphEngine, record: Record, spec: ShardSpec, checkpoint: Checkpoint, report: Report
) -> GraphEngine:
    """Return the engine that serves a request for int8.

    Raises:
        Refusal: int8 may not serve, and there is no other format.
    """
    found = compare(record.bf16_margins, margins_of_known_pairs(int8.tokenizer, int8.score))
    measured = f"int8 against bf16: {found}"
    report(measured)
    if found.suffices or spec.int8_anyway:
        int8.facts = replace(int8.facts, notes=(*int8.facts.notes, measured))
        return int8
    why = disagreement(found)
    if spec.engine == "openvino" and "bf16" in converted(checkpoint):
        bf16, _ = _made(spec, checkpoint, "bf16", report)
        facts, refused = bf16.facts, refusal_of(found)
        bf16.facts = replace(
            facts, notes=(*facts.notes, measured), warnings=(*facts.warnings, refused)
        )
        return bf16
    raise Refusal(
        f"{why}: calibrate it with texts of your own (`gateway convert {checkpoint.name} "
        f"--dtype int8 --calibration FILE`) or make one in bf16 (`gateway convert "
        f"{checkpoint.name}`); "
        "`int8_anyway = true` serves it all the same",
        ExitCode.SPEC,
    )


def _dtype(spec: ShardSpec, checkpoint: Checkpoint) -> str:
    if spec.dtype == "fp16":
        raise Refusal("the engine openvino has fp32, bf16 and int8, not fp16", ExitCode.SPEC)
    if spec.dtype != "auto":
        return spec.dtype
    there = converted(checkpoint)
    return next((dtype for dtype in _AUTO if dtype in there), "bf16")


# -- auto: the faster of a checkpoint and its conversion -------------------------------------------


def faster_conversion(engine: Engine, spec: ShardSpec, report: Report) -> Engine:
    """Return the engine of a checkpoint, or its conversion for OpenVINO where that is faster.

    The requested format comes first: the engine itself may have fallen back from int8.
    """
    formats = converted(open_checkpoint(spec, report))
    for dtype in dict.fromkeys((spec.dtype, engine.facts.dtype)):
        if dtype not in formats:
            continue
        try:
            other = load(replace(spec, dtype=dtype, device="cpu"), report)
        except Refusal as refusal:
            why = f"the conversion for OpenVINO in {dtype} is not used: {refusal}"
            engine.facts = replace(engine.facts, warnings=(*engine.facts.warnings, why))
            continue
        if dtype == engine.facts.dtype:  # then both have the reasons against another format
            warnings = dict.fromkeys(other.facts.warnings + engine.facts.warnings)
            other.facts = replace(other.facts, warnings=tuple(warnings))
        winner, measured = _faster(engine, other)
        report(measured)
        winner.facts = replace(winner.facts, notes=(*winner.facts.notes, measured))
        return winner
    return engine


def _faster(first: Engine, second: Engine) -> tuple[Engine, str]:
    """Return the faster engine, and a line about the measurement; both score the same pairs."""
    engines = (first, second)
    batch = _batch(min(engine.facts.max_length for engine in engines))
    best = [float("inf")] * 2
    for _ in range(_ROUNDS + 1):  # in turn; the first round warms up
        for at, engine in enumerate(engines):
            best[at] = min(best[at], _seconds(engine, batch))
    winner, loser = engines if best[0] <= best[1] else engines[::-1]
    gain = max(best) / min(best)
    line = (
        f"engine {winner.facts.engine} in {winner.facts.dtype} measured {gain:.1f} times as fast "
        f"as {loser.facts.engine} in {loser.facts.dtype}"
    )
    return winner, line


def _batch(max_length: int) -> Sequence[TokenizedPair]:
    lengths = [min(length, max_length) for length in _LENGTHS]
    return [TokenizedPair([_TOKEN] * length, length // 3, False) for length in lengths]


def _seconds(engine: Engine, batch: Batch) -> float:
    started = time.perf_counter()
    engine.score(batch)
    return time.perf_counter() - started
