"""The table of engines. An engine is imported only when a shard is started with it."""

from importlib import import_module

from shards.engines.base import Engine, Load
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

ENGINES = {
    "causal": "shards.engines.causal:load",
    "classifier": "shards.engines.classifier:load",
    "fake": "shards.engines.fake:load",
}


def load_engine(spec: ShardSpec, report: Report) -> Engine:
    """Load the engine that the spec names; `auto` asks the checkpoint which one fits."""
    name = _choose(spec, report) if spec.engine == "auto" else spec.engine
    if name not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise Refusal(f"engine {name!r} is not known; use auto or one of {known}", ExitCode.SPEC)
    module, function = ENGINES[name].split(":")
    load: Load = getattr(import_module(module), function)
    return load(spec, report)


def _choose(spec: ShardSpec, report: Report) -> str:
    from shards.checkpoint import engine_name  # needs model libraries: not for the fake engine

    return engine_name(spec, report)
