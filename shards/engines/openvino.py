"""Cross-encoders through OpenVINO, from a conversion that was checked against the checkpoint.

`gateway convert` makes it (`openvino_convert`); here it is only read. A conversion that is missing,
unchecked or of other weights is refused with what to run. One in int8 that does not rank as bf16 does
serves only where the operator says so; where this engine was asked for by name its bf16 serves instead.
"""

from shards import devices
from shards.checkpoint import Checkpoint, expect_engine, open_checkpoint
from shards.engines.agreement import disagreement
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
    report("checking the conversion")
    dtype, record, warnings = _settled(spec, checkpoint)
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
        warnings=parts.doubts + warnings,
        doubts=parts.doubts,
    )
    return GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        encoder=parts.encoder,
        facts=facts,
    )


def _settled(spec: ShardSpec, checkpoint: Checkpoint) -> tuple[str, Record, tuple[str, ...]]:
    """Return the format that serves, its record, and why it is not the one that was asked for.

    Raises:
        Refusal: no conversion may serve.
    """
    dtype = _dtype(spec, checkpoint)
    record = checked_record(checkpoint, dtype)
    agreement = record.agreement
    if agreement is None or agreement.suffices or spec.int8_anyway:
        return dtype, record, ()
    if spec.engine == "openvino" and "bf16" in converted(checkpoint):
        return (
            "bf16",
            checked_record(checkpoint, "bf16"),
            (f"{disagreement(agreement)}: {INSTEAD}",),
        )
    raise Refusal(
        f"{disagreement(agreement)}: calibrate it with texts of your own (`gateway convert "
        f"{checkpoint.name} --dtype int8 --calibration FILE`) or make one in bf16 (`gateway convert "
        f"{checkpoint.name}`); `int8_anyway = true` serves it all the same",
        ExitCode.SPEC,
    )


def _dtype(spec: ShardSpec, checkpoint: Checkpoint) -> str:
    if spec.dtype == "fp16":
        raise Refusal("the engine openvino has fp32, bf16 and int8, not fp16", ExitCode.SPEC)
    if spec.dtype != "auto":
        return spec.dtype
    there = converted(checkpoint)
    return next((dtype for dtype in _BY_ITSELF if dtype in there), "bf16")
