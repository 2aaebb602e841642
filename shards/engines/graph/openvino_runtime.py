"""OpenVINO itself: a late import without telemetry, and graphs compiled to functions."""

import sys
from pathlib import Path
from typing import Any

from shards.engines.graph.graph_engine import Arrays, Run
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode

_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}


def import_openvino() -> Any:
    """Return the module.

    Raises:
        Refusal: it is not installed.
    """
    # `None` makes the import of the telemetry fail, so that nothing is sent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as documented
    try:
        import openvino
    except ImportError as error:
        raise Refusal(
            f"the engine openvino needs a package that is not installed ({error}): "
            "pip install 'rerank-gateway[openvino]'",
            ExitCode.SPEC,
        ) from error
    return openvino


def compiled(graph: Any, dtype: str, threads: int) -> tuple[Run, frozenset[str]]:
    """Compile a graph, or the file of one, to a function; return it with its input names.

    Args:
        dtype: the format of products: `fp32`, `bf16` or `int8`. The graph itself has the int8; the
            steps between its products are in bf16.
        threads: the most threads; 0 for as many as the process has cores.
    """
    openvino = import_openvino()
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # the shard is pinned, and shares its cores with others
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    model = core.read_model(graph) if isinstance(graph, Path) else graph
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    names = frozenset(port.get_any_name() for port in model.inputs)

    def run(arrays: Arrays) -> Any:
        result = request.infer({name: arrays[name] for name in names}, share_inputs=True)
        return result[0].copy()

    return run, names
