"""A cross-encoder through OpenVINO as its users run one: padded batches of eight, longest first.

`gateway convert` made the graph from the checkpoint (third argument: `fp32`, `bf16` or `int8`), so
that the pipelines are compared and not the conversions.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from scripts.bench_suite.baselines.serving import Score, serve

_BATCH = 8
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}


def load(folder: Path, dtype: str) -> Score:
    """Return what scores the documents of a request."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": _HINTS[dtype], "PERFORMANCE_HINT": "LATENCY"}
    graph = folder / "openvino" / dtype / "model.xml"
    model: Any = openvino.Core().compile_model(graph, "CPU", settings)
    names = {port.get_any_name() for port in model.inputs}
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def score(query: str, documents: Sequence[str]) -> list[float]:
        order = sorted(range(len(documents)), key=lambda index: -len(documents[index]))
        margins = [0.0] * len(documents)
        for first in range(0, len(order), _BATCH):
            some = order[first : first + _BATCH]
            inputs = tokenizer(
                [query] * len(some),
                [documents[index] for index in some],
                padding=True,
                truncation=True,
                return_tensors="np",
            )
            logits = model({name: inputs[name] for name in names})[0]
            for index, row in zip(some, logits, strict=True):
                margins[index] = float(row[0])
        return margins

    return score


if __name__ == "__main__":
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # nothing is sent
    serve(lambda folder: load(folder, sys.argv[3]))
