"""The naive worker: fp32, batches of eight as they come, left padding, the logits of the whole
vocabulary at every position.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scripts.bench_suite.baselines.prompts import Prompts
from scripts.bench_suite.baselines.serving import Score, serve

_BATCH = 8


def load(folder: Path) -> Score:
    """Return what scores the documents of a request."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    prompts = Prompts(AutoTokenizer.from_pretrained(folder))
    yes, no = prompts.yes_and_no

    @torch.inference_mode()
    def score(query: str, documents: Sequence[str]) -> list[float]:
        margins: list[float] = []
        for first in range(0, len(documents), _BATCH):
            inputs = prompts.padded(query, documents[first : first + _BATCH])
            logits = model(**inputs).logits[:, -1, :]
            margins += (logits[:, yes] - logits[:, no]).tolist()
        return margins

    return score


if __name__ == "__main__":
    serve(load)
