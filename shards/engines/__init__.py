"""The table of engines. An engine is imported only when a shard is started with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from shards.engines.base import Engine, Load
from shards.machine.devices import MLX
from shards.pairs import QueryTooLong
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.pipe import PipeClosed
from shards.wire.spec import ShardSpec

_logger = logging.getLogger(__name__)
_PASSED_ON = (Refusal, PipeClosed, OSError, MemoryError, ImportError)
_OF_THE_MACHINE = ("out of memory", "can't allocate memory", "CUDA", "cuDNN", "device lost")

ENGINES = {
    "causal": "shards.engines.decoder.causal:load",
    "classifier": "shards.engines.encoder.classifier:load",
    "embedder": "shards.engines.encoder.embedder:load",
    "late": "shards.engines.encoder.late:load",
    "mlx": "shards.engines.mlx.load:load",
    "openvino": "shards.engines.graph.openvino:load",
    "onnx": "shards.engines.graph.onnx:load",
    "fake": "shards.engines.fake:load",
}


def load_engine(spec: ShardSpec, report: Report) -> Engine:
    """Load the engine that the spec names; `auto` is the fastest that fits the checkpoint."""
    with refusing_broken(spec.source, "loaded"):
        if spec.engine == "auto":
            return _fitting(spec, report)
        return _load(spec.engine, spec, report)


@contextmanager
def refusing_broken(source: str, done: str) -> Iterator[None]:
    """Refuse a checkpoint that the checks of its files have passed, and that cannot be used.

    Another try would end in the same way, unless the machine is at fault.

    Args:
        source: the checkpoint.
        done: what is done with it, as a participle.
    """
    try:
        yield
    except QueryTooLong as error:
        raise Refusal(
            f"{source} has no room for a pair: {error.max_length} tokens are its limit, "
            f"and {error.tokens} are taken by a short query: raise max_length"
        ) from error
    except _PASSED_ON:
        raise
    except Exception as error:  # model libraries raise anything
        reason = str(error).strip().split("\n")[0]
        if isinstance(error, RuntimeError) and any(sign in reason for sign in _OF_THE_MACHINE):
            raise
        _logger.exception("%s cannot be %s", source, done)
        raise Refusal(
            f"{source} cannot be {done}: {type(error).__name__}: {reason[:300]}; download the "
            "checkpoint again, or use another"
        ) from error


def _load(name: str, spec: ShardSpec, report: Report) -> Engine:
    if name not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise Refusal(f"engine {name!r} is unknown; use auto or one of {known}", ExitCode.SPEC)
    module, function = ENGINES[name].split(":")
    load: Load = getattr(import_module(module), function)
    return load(spec, report)


def _fitting(spec: ShardSpec, report: Report) -> Engine:
    # Imported late: these need model libraries.
    from shards.checkpoint import is_graph_only, open_checkpoint, read_recipe

    if spec.onnx_file or is_graph_only(Path(spec.source).expanduser()):
        return _load("onnx", spec, report)
    if spec.device == MLX:
        return _load("mlx", spec, report)
    recipe = read_recipe(open_checkpoint(spec, report), spec)
    engine = _load(recipe.engine, spec, report)
    if engine.facts.engine == "classifier" and engine.facts.device == "cpu":
        from shards.engines.graph.openvino import faster_conversion  # needs torch

        return faster_conversion(engine, spec, report)
    return engine
