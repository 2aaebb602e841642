"""Cross-encoders through ONNX Runtime, from exported graphs.

A graph lies where the hub keeps it, with config.json and tokenizer beside it
(`shards.checkpoint.graph`). Its number format was chosen by the exporter, and there are no weights
to compare it with. So its interface is checked (its inputs, its results for one pair and for two),
and the canaries check its scores.
"""

from typing import Any

from shards.checkpoint import Graph, first_position, open_graph
from shards.engines.encoder.setup import expect_own_head, pair_setup
from shards.engines.graph.graph_engine import Arrays, GraphEngine, Run, expect_inputs, expect_logits
from shards.machine import devices
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_SHAPES = ((1, 7), (2, 19))  # pairs and tokens of the batches that test a graph
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
    _expect_format(spec, graph)
    parts = pair_setup(spec, checkpoint)
    expect_own_head(parts.recipe, checkpoint.name, "onnx")
    report(f"loading {graph.name}")
    run, inputs = _session(graph, spec.threads or len(spec.cores))
    knows_types = int(checkpoint.config.get("type_vocab_size") or 0) > 1
    types = knows_types and parts.gives_types
    expect_inputs(inputs, types=types, name=str(graph.path))
    engine = GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        first_position=first_position(checkpoint),
        tokenizer=parts.tokenizer,
        facts=Facts(
            engine="onnx",
            device="cpu",
            dtype=graph.holds.dtype,
            max_length=parts.max_length,
            token_budget=devices.pick_token_budget(spec, "cpu"),
            activation=parts.recipe.activation,
            demonstration=checkpoint.demonstration,
            languages=checkpoint.languages,
            fingerprint=f"onnx {checkpoint.fingerprint}",
            files=checkpoint.fingerprint,
            notes=(*parts.recipe.notes, *_notes(graph)),
            warnings=parts.doubts + parts.warnings,
            doubts=parts.doubts,
        ),
    )
    _expect_reranker(run, inputs, len(parts.label_weights), graph)
    return engine


def _expect_format(spec: ShardSpec, graph: Graph) -> None:
    if spec.dtype not in ("auto", graph.holds.dtype):
        raise Refusal(
            f"{graph.path} computes in {graph.holds.dtype}, as it was exported, not in "
            f"{spec.dtype}: set dtype to auto, or onnx_file to another graph",
            ExitCode.SPEC,
        )


def _notes(graph: Graph) -> tuple[str, ...]:
    dtype = graph.holds.dtype
    if dtype not in ("int8", "int4"):
        return (f"graph {graph.name}, in {dtype}",)
    note = f"graph {graph.name}, in {dtype} as it was exported: its agreement with bf16 is unknown"
    if graph.holds.looks_at_batches:
        return (
            note,
            "it rounds by the range of a batch, so the other pairs there change a margin a little",
        )
    return (note,)


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
    except Exception as error:  # the runtime raises many kinds for a broken file
        reason = str(error).strip().split("\n")[0]
        raise Refusal(f"ONNX Runtime cannot load {graph.path}: {reason}") from error
    names = frozenset(port.name for port in session.get_inputs())
    results = [port.name for port in session.get_outputs()]
    result = _RESULT if _RESULT in results else results[0]

    def run(arrays: Arrays) -> Any:
        return session.run([result], {name: arrays[name] for name in names})[0]

    return run, names


def _expect_reranker(run: Run, inputs: frozenset[str], labels: int, graph: Graph) -> None:
    """Run some shapes, so that a graph of fixed shapes or of another kind is refused here."""
    import numpy as np

    for pairs, tokens in _SHAPES:
        ones = np.ones((pairs, tokens), dtype=np.int64)
        try:
            logits = run(dict.fromkeys(inputs, ones) | {"token_type_ids": np.zeros_like(ones)})
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise Refusal(
                f"{graph.path} cannot compute {pairs} pairs of {tokens} tokens ({reason}): export "
                "it with dynamic axes for batch and sequence"
            ) from error
        expect_logits(logits.shape, (pairs, labels), str(graph.path))
