"""Export of checkpoints to ONNX, as by the usual exporters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class _Logits(torch.nn.Module):
    """A transformers model with positional inputs and logits as its result."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager"
        ).eval()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def export(folder: Path, names: Sequence[str], first_position: int = 0) -> None:
    """Write onnx/model.onnx, a graph with these inputs, into a checkpoint's folder."""
    inputs = {
        "input_ids": torch.arange(5, 29).view(2, 12),
        "attention_mask": torch.tensor([[1] * 12, [1] * 5 + [0] * 7]),
        "token_type_ids": torch.tensor([[0] * 4 + [1] * 8] * 2),
        "position_ids": (torch.arange(12) + first_position).repeat(2, 1),
    }
    (folder / "onnx").mkdir()
    torch.onnx.export(
        _Logits(folder, names),
        tuple(inputs[name] for name in names),
        folder / "onnx" / "model.onnx",
        input_names=list(names),
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
        dynamo=False,
    )
