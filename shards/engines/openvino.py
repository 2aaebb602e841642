"""Cross-encoders through OpenVINO, from a conversion that was checked against the checkpoint.

`gateway convert` makes it (`openvino_convert`); here it is only read. A conversion that is missing,
unchecked or of other weights is refused with what to run. One in int8 that does not rank as bf16 does
serves only where the operator says so; where this engine was asked for by name its bf16 serves instead.
"""

from dataclasses import replace

from shards import devices
from shards.checkpoint import Checkpoint, expect_engine, open_checkpoint
from shards.engines.agreement import compare, disagreement, margins_of_known_pairs
from shards.engines.around import around
from shards.engines.base import Facts
from shards.engines.conversion import (
    Record,
    checked_record,
    converted,
    folder_of,
    graph_of,
    notes_of,
)
from shards.engines.formats import INSTEAD
from shards.engines.graph_engine import GraphEngine
from shards.engines.openvino_runtime import compiled
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_BY_ITSELF = ("bf16", "fp32")  # what auto takes; int8 changes scores, so it is asked for by name


def load(spec: ShardSpec, report: Report) -> GraphEngine:
    """Load a converted cross-encoder; see `shards.engines.base.Load`."""
    if spec.device != "cpu":
        raise Refusal(
            f"the engine openvino computes on CPUs, not on {spec.device}: set devices to cpu",
            ExitCode.SPEC,
        )
    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "classifier")
    dtype = _dtype(spec, checkpoint)
    engine, record = _made(spec, checkpoint, dtype, report)
    return engine if dtype != "int8" else _settled(engine, record, spec, checkpoint, report)


def _made(
    spec: ShardSpec, checkpoint: Checkpoint, dtype: str, report: Report
) -> tuple[GraphEngine, Record]:
    report(f"checking the conversion in {dtype}")
    record = checked_record(checkpoint, dtype)
    parts = around(spec, checkpoint)
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
        activation=checkpoint.activation,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=f"openvino {record.graph}",
        notes=notes_of(record),
        warnings=parts.doubts,
        doubts=parts.doubts,
    )
    engine = GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        encoder=parts.encoder,
        facts=facts,
    )
    return engine, record


def _settled(
    int8: GraphEngine, record: Record, spec: ShardSpec, checkpoint: Checkpoint, report: Report
) -> GraphEngine:
    """Return what serves where int8 was asked for.

    Raises:
        Refusal: int8 may not, and there is nothing else.
    """
    found = compare(record.bf16_margins, margins_of_known_pairs(int8.encoder, int8.score))
    measured = f"int8 against bf16: {found}"
    report(measured)
    if found.suffices or spec.int8_anyway:
        int8.facts = replace(int8.facts, notes=(*int8.facts.notes, measured))
        return int8
    why = disagreement(found)
    if spec.engine == "openvino" and "bf16" in converted(checkpoint):
        bf16, _ = _made(spec, checkpoint, "bf16", report)
        facts, refused = bf16.facts, f"{why}: {INSTEAD}"
        bf16.facts = replace(
            facts, notes=(*facts.notes, measured), warnings=(*facts.warnings, refused)
        )
        return bf16
    raise Refusal(
        f"{why}: calibrate it with texts of your own (`gateway convert {checkpoint.name} --dtype int8 "
        f"--calibration FILE`) or make one in bf16 (`gateway convert {checkpoint.name}`); "
        "`int8_anyway = true` serves it all the same",
        ExitCode.SPEC,
    )


def _dtype(spec: ShardSpec, checkpoint: Checkpoint) -> str:
    if spec.dtype == "fp16":
        raise Refusal("the engine openvino has fp32, bf16 and int8, not fp16", ExitCode.SPEC)
    if spec.dtype != "auto":
        return spec.dtype
    there = converted(checkpoint)
    return next((dtype for dtype in _BY_ITSELF if dtype in there), "bf16")
