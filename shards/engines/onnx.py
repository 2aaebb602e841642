"""Cross-encoders through ONNX Runtime, from graphs that others have exported.

The graph lies where the hub keeps it, `onnx/model.onnx`, with config.json and tokenizer beside that
folder. It computes what it computes: there are no weights to compare it with, so its form is checked
(what it takes, what it gives for one pair and for two), and the canaries look at its scores.
"""

import hashlib
from pathlib import Path
from typing import Any

from shards import devices
from shards.checkpoint import Checkpoint, expect_engine, open_graph_folder
from shards.engines.around import around
from shards.engines.base import Facts
from shards.engines.graph_engine import Arrays, GraphEngine, Run, expect_inputs, expect_logits
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_SHAPES = ((1, 7), (2, 19))  # pairs and tokens that a graph is tried with


def load(spec: ShardSpec, report: Report) -> GraphEngine:
    """Load an exported cross-encoder; see `shards.engines.base.Load`."""
    if spec.device != "cpu":
        raise Refusal(
            f"the engine onnx computes on CPUs, not on {spec.device}: set devices to cpu",
            ExitCode.SPEC,
        )
    if spec.dtype not in ("auto", "fp32"):
        raise Refusal(
            f"the engine onnx computes the graph as it was exported, not in {spec.dtype}: set "
            "dtype to auto",
            ExitCode.SPEC,
        )
    checkpoint, graph = open_graph_folder(spec)
    expect_engine(checkpoint, "classifier")
    parts = around(spec, checkpoint)
    report(f"loading {graph.name}")
    run, inputs = _session(graph, spec.threads or len(spec.cores))
    has_types = int(checkpoint.config.get("type_vocab_size") or 0) > 1
    expect_inputs(inputs, types=has_types, name=str(graph))
    engine = GraphEngine(
        run,
        inputs,
        label_weights=parts.label_weights,
        pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        encoder=parts.encoder,
        facts=Facts(
            engine="onnx",
            device="cpu",
            dtype="fp32",
            max_length=parts.max_length,
            token_budget=devices.pick_token_budget(spec, "cpu"),
            activation=checkpoint.activation,
            demonstration=checkpoint.demonstration,
            languages=checkpoint.languages,
            fingerprint=f"onnx {_hash(graph)}",
            warnings=parts.doubts,
            doubts=parts.doubts,
        ),
    )
    _expect_reranker(run, inputs, len(parts.label_weights), checkpoint, graph)
    return engine


def _hash(graph: Path) -> str:
    with graph.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _session(graph: Path, threads: int) -> tuple[Run, frozenset[str]]:
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
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever a broken file makes the runtime raise
        reason = str(error).strip().split("\n")[0]
        raise Refusal(f"ONNX Runtime cannot load {graph}: {reason}") from error
    names = frozenset(one.name for one in session.get_inputs())

    def run(arrays: Arrays) -> Any:
        return session.run(None, {name: arrays[name] for name in names})[0]

    return run, names


def _expect_reranker(
    run: Run, inputs: frozenset[str], labels: int, checkpoint: Checkpoint, graph: Path
) -> None:
    """Try shapes, so that a graph of fixed shapes or of another kind is found here, not by a client."""
    import numpy as np

    for pairs, tokens in _SHAPES:
        ones = np.ones((pairs, tokens), dtype=np.int64)
        try:
            logits = run(dict.fromkeys(inputs, ones) | {"token_type_ids": np.zeros_like(ones)})
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise Refusal(
                f"{graph} cannot compute {pairs} pairs of {tokens} tokens ({reason}): export it "
                "with dynamic axes for batch and sequence"
            ) from error
        expect_logits(logits.shape, (pairs, labels), str(graph))
