"""Cross-encoders through ONNX Runtime, from graphs that others have exported.

A graph lies where the hub keeps it, with config.json and tokenizer around (`shards.checkpoint.graph`).
It computes what it computes, in the number format that whoever exported it has chosen: there are no
weights to compare it with, so its form is checked (what it takes, what it gives for one pair and for
two), and the canaries look at its scores.
"""

from typing import Any

from shards import devices
from shards.checkpoint import Graph, expect_engine, first_position, open_graph
from shards.engines.around import around
from shards.engines.base import Facts
from shards.engines.graph_engine import Arrays, GraphEngine, Run, expect_inputs, expect_logits
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_SHAPES = ((1, 7), (2, 19))  # pairs and tokens that a graph is tried with
_RESULT = "logits"


def load(spec: ShardSpec, report: Report) -> GraphEngine:
    """Load an exported cross-encoder; see `shards.engines.base.Load`."""
    if spec.device != "cpu":
        raise Refusal(
            f"the engine onnx computes on CPUs, not on {spec.device}: set devices to cpu",
            ExitCode.SPEC,
        )
    graph = open_graph(spec)
    checkpoint = graph.checkpoint
    expect_engine(checkpoint, "classifier")
    _expect_format(spec, graph)
    parts = around(spec, checkpoint)
    report(f"loading {graph.name}")
    run, inputs = _session(graph, spec.threads or len(spec.cores))
    knows_types = int(checkpoint.config.get("type_vocab_size") or 0) > 1
    types = knows_types and parts.encoder.gives_types
    expect_inputs(inputs, types=types, name=str(graph.path))
    engine = GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        first_position=first_position(checkpoint),
        encoder=parts.encoder,
        facts=Facts(
            engine="onnx",
            device="cpu",
            dtype=graph.holds.dtype,
            max_length=parts.max_length,
            token_budget=devices.pick_token_budget(spec, "cpu"),
            activation=checkpoint.activation,
            demonstration=checkpoint.demonstration,
            languages=checkpoint.languages,
            fingerprint=f"onnx {checkpoint.fingerprint}",
            notes=_notes(graph),
            warnings=parts.doubts,
            doubts=parts.doubts,
        ),
    )
    _expect_reranker(run, inputs, len(parts.label_weights), graph)
    return engine


def _expect_format(spec: ShardSpec, graph: Graph) -> None:
    if spec.dtype not in ("auto", graph.holds.dtype):
        raise Refusal(
            f"{graph.path} computes in {graph.holds.dtype}, as it was exported, not in {spec.dtype}: "
            "set dtype to auto, or onnx_file to another graph",
            ExitCode.SPEC,
        )


def _notes(graph: Graph) -> tuple[str, ...]:
    dtype = graph.holds.dtype
    if dtype not in ("int8", "int4"):
        return (f"graph {graph.name}, in {dtype}",)
    said = (
        f"graph {graph.name}, in {dtype} as it was exported: nothing says how it agrees with bf16"
    )
    if graph.holds.looks_at_batches:
        return (
            said,
            "it rounds by what is in a batch, so the other pairs there change a margin a little",
        )
    return (said,)


def _session(graph: Graph, threads: int) -> tuple[Run, frozenset[str]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise Refusal(
            f"the engine onnx needs a package that is not installed ({error}): "
            "pip install 'rerank-gateway[onnx]'",
            ExitCode.SPEC,
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are shared
    try:
        session = onnxruntime.InferenceSession(
            graph.path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # whatever a broken file makes the runtime raise
        reason = str(error).strip().split("\n")[0]
        raise Refusal(f"ONNX Runtime cannot load {graph.path}: {reason}") from error
    names = frozenset(one.name for one in session.get_inputs())
    results = [one.name for one in session.get_outputs()]
    result = _RESULT if _RESULT in results else results[0]

    def run(arrays: Arrays) -> Any:
        return session.run([result], {name: arrays[name] for name in names})[0]

    return run, names


def _expect_reranker(run: Run, inputs: frozenset[str], labels: int, graph: Graph) -> None:
    """Try shapes, so that a graph of fixed shapes or of another kind is found here, not by a client."""
    import numpy as np

    for pairs, tokens in _SHAPES:
        ones = np.ones((pairs, tokens), dtype=np.int64)
        try:
            logits = run(dict.fromkeys(inputs, ones) | {"token_type_ids": np.zeros_like(ones)})
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise Refusal(
                f"{graph.path} cannot compute {pairs} pairs of {tokens} tokens ({reason}): export it "
                "with dynamic axes for batch and sequence"
            ) from error
        expect_logits(logits.shape, (pairs, labels), str(graph.path))
