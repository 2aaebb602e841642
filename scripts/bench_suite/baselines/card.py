"""Qwen3-Reranker as its model card uses it: weights as they are stored (bf16), the documents of a
request as one batch, left padding, the logits of the last position out of all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scripts.bench_suite.baselines.prompts import Prompts
from scripts.bench_suite.baselines.serving import Score, serve


def load(folder: Path) -> Score:
    """Return what scores the documents of a request."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.eval()
    prompts = Prompts(AutoTokenizer.from_pretrained(folder))

    @torch.inference_mode()
    def score(query: str, documents: Sequence[str]) -> list[float]:
        logits = model(**prompts.padded(query, documents)).logits[:, -1, :]
        chances = torch.log_softmax(logits[:, prompts.yes_and_no], dim=1).float()
        margins: list[float] = (chances[:, 0] - chances[:, 1]).tolist()
        return margins

    return score


if __name__ == "__main__":
    serve(load)
