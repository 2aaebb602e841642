"""A cross-encoder in the naive way: fp32, batches of eight as they come, padded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from scripts.bench_suite.baselines.serving import Score, serve

_BATCH = 8


def load(folder: Path) -> Score:
    """Return what scores the documents of a request."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def score(query: str, documents: Sequence[str]) -> list[float]:
        margins: list[float] = []
        for first in range(0, len(documents), _BATCH):
            some = list(documents[first : first + _BATCH])
            inputs = tokenizer(
                [query] * len(some), some, padding=True, truncation=True, return_tensors="pt"
            )
            margins += model(**inputs).logits[:, 0].tolist()
        return margins

    return score


if __name__ == "__main__":
    serve(load)
