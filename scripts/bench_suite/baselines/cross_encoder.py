"""sentence-transformers' CrossEncoder, with its defaults: batches of 32 by length.

Qwen3-Reranker goes through its LogitScore, in bf16, as the published checkpoint does since it has
modules for it; a cross-encoder goes as it is. Needs an environment with sentence-transformers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scripts.bench_suite.baselines.prompts import chat_template
from scripts.bench_suite.baselines.serving import Score, serve


def load(folder: Path) -> Score:
    """Return what scores the documents of a request."""
    model = _model(folder)

    def score(query: str, documents: Sequence[str]) -> list[float]:
        pairs = [(query, document) for document in documents]
        margins: list[float] = model.predict(
            pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False
        ).tolist()
        return margins

    return score


def _model(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    config = json.loads((folder / "config.json").read_text())
    if "CausalLM" not in config["architectures"][0]:
        return CrossEncoder(str(folder))
    return CrossEncoder(modules=[*_causal_modules(folder)])


def _causal_modules(folder: Path) -> tuple[Any, Any]:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    way = {"method": "forward", "method_output_name": "logits"}
    transformer = Transformer(
        str(folder),
        transformer_task="text-generation",
        modality_config={"text": way, "message": {**way, "format": "flat"}},
        module_output_name="causal_logits",
        model_kwargs={"dtype": torch.bfloat16},
    )
    transformer.tokenizer.chat_template = chat_template()
    yes, no = transformer.tokenizer.convert_tokens_to_ids(["yes", "no"])
    return transformer, LogitScore(true_token_id=yes, false_token_id=no)


if __name__ == "__main__":
    serve(load)
