"""Cross-encoders through OpenVINO, from a conversion that was checked against the checkpoint.

`gateway convert` makes it (`openvino_convert`); here it is only read. A conversion that is missing,
unchecked or of other weights is refused with what to run.
"""

from shards import devices
from shards.checkpoint import Checkpoint, expect_engine, open_checkpoint
from shards.engines.around import around
from shards.engines.base import Facts
from shards.engines.conversion import checked_record, converted, folder_of, graph_of
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
    report(f"checking the conversion in {dtype}")
    record = checked_record(checkpoint, dtype)
    parts = around(spec, checkpoint)
    report("compiling the graph")
    run, inputs = compiled(
        graph_of(folder_of(checkpoint, dtype)), dtype, spec.threads or len(spec.cores)
    )
    agreed = (
        (f"int8 against fp32 when it was converted: {record.agreement}",)
        if record.agreement
        else ()
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
        notes=(
            f"converted by OpenVINO {record.openvino}; margins were at most "
            f"{record.largest_difference:.2g} from the checkpoint's",
            *agreed,
        ),
        warnings=parts.doubts,
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


def _dtype(spec: ShardSpec, checkpoint: Checkpoint) -> str:
    if spec.dtype == "fp16":
        raise Refusal("the engine openvino has fp32, bf16 and int8, not fp16", ExitCode.SPEC)
    if spec.dtype != "auto":
        return spec.dtype
    there = converted(checkpoint)
    return next((dtype for dtype in _BY_ITSELF if dtype in there), "bf16")
