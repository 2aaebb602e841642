"""The table of engines. An engine is imported only when a shard is started with it."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

from shards.engines.base import Engine, Load
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

ENGINES = {
    "causal": "shards.engines.causal:load",
    "classifier": "shards.engines.classifier:load",
    "openvino": "shards.engines.openvino:load",
    "onnx": "shards.engines.onnx:load",
    "fake": "shards.engines.fake:load",
}


def load_engine(spec: ShardSpec, report: Report) -> Engine:
    """Load the engine that the spec names; `auto` takes what fits the checkpoint and is faster."""
    if spec.engine == "auto":
        return _fitting(spec, report)
    return _load(spec.engine, spec, report)


def _load(name: str, spec: ShardSpec, report: Report) -> Engine:
    if name not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise Refusal(f"engine {name!r} is not known; use auto or one of {known}", ExitCode.SPEC)
    module, function = ENGINES[name].split(":")
    load: Load = getattr(import_module(module), function)
    return load(spec, report)


def _fitting(spec: ShardSpec, report: Report) -> Engine:
    from shards.checkpoint import engine_name, is_graph_only  # need model libraries

    if spec.onnx_file or is_graph_only(Path(spec.source).expanduser()):
        return _load("onnx", spec, report)
    engine = _load(engine_name(spec, report), spec, report)
    if engine.facts.engine == "classifier" and engine.facts.device == "cpu":
        return _or_converted(engine, spec, report)
    return engine


def _or_converted(engine: Engine, spec: ShardSpec, report: Report) -> Engine:
    """Return the engine, or its conversion for OpenVINO where that is faster.

    What the operator asked for comes first: the engine itself may have had to leave int8.
    """
    from shards.checkpoint import open_checkpoint
    from shards.engines.conversion import converted
    from shards.engines.race import faster

    there = converted(open_checkpoint(spec, report))
    for dtype in dict.fromkeys((spec.dtype, engine.facts.dtype)):
        if dtype not in there:
            continue
        try:
            other = _load("openvino", replace(spec, dtype=dtype, device="cpu"), report)
        except Refusal as refusal:
            why = f"the conversion for OpenVINO in {dtype} is not used: {refusal}"
            engine.facts = replace(engine.facts, warnings=(*engine.facts.warnings, why))
            continue
        if dtype == engine.facts.dtype:  # then why it is not another one is true of both
            warnings = dict.fromkeys(other.facts.warnings + engine.facts.warnings)
            other.facts = replace(other.facts, warnings=tuple(warnings))
        winner, measured = faster(engine, other)
        report(measured)
        winner.facts = replace(winner.facts, notes=(*winner.facts.notes, measured))
        return winner
    return engine
