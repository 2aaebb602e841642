"""Checkpoints that are not served: one sentence for each kind, with what would serve instead."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.refusal import Refusal

_INSTEAD = (
    "use a reranker of pairs, for example Qwen/Qwen3-Reranker-0.6B or BAAI/bge-reranker-v2-m3"
)

# By the class in `architectures`, or the model type: the first pattern that matches decides.
_KINDS = (
    (
        r"JinaForRanking|jina-?reranker-?v3",
        "is a listwise reranker: it reads all documents of a query as one text, so a document has "
        "no score of its own",
    ),
    (
        r"JinaVL|VLFor|Vision|VLReranker|ForConditionalGeneration#(?:qwen\d?_.*vl|.*vl.*|gemma3|"
        r"paligemma|idefics|llava|mllama)|Llava|Idefics|PaliGemma",
        "ranks images beside texts, and pairs of texts alone are scored here",
    ),
    (
        r"(?:^|#)(?:m?t5|umt5|byt5|flan|bart|mbart|pegasus)|T5For|BartForCond",
        "is a sequence-to-sequence reranker (like monoT5): an encoder and a decoder, of which no "
        "engine here computes the second",
    ),
    (
        r"LayerWise|CostWise|layerwise|lightweight",
        "has a head for each of many layers, and code of its own, which is never run",
    ),
    (
        r"ColBERT|ForRetrieval|ColPali|ColQwen",
        "is a late-interaction retriever: it compares a query's tokens with a document's, each "
        "encoded apart",
    ),
    (
        r"ForMaskedLM|ForPreTraining",
        "is a masked language model, to be trained further: it has no head that ranks",
    ),
    (
        r"ForTokenClassification|ForQuestionAnswering|ForMultipleChoice|ForNextSentence",
        "has a head for another task than ranking",
    ),
    (r"Model(?:#|$)", "is an embedder or a bare body, without a head that ranks"),
)


def refuse_by_kind(name: str, config: Mapping[str, Any], architecture: str) -> None:
    """Refuse a checkpoint whose class is of a kind that is not served."""
    keys = set(config)
    what = f"{architecture}#{config.get('model_type', '')}"
    if {"start_layer", "head_multi"} & keys or "layer_wise" in keys:
        what = f"LayerWise {what}"
    if {"vision_config", "image_token_id"} & keys:
        what = f"Vision {what}"
    if config.get("is_encoder_decoder") is True:
        what = f"T5ForConditionalGeneration {what}"
    for pattern, kind in _KINDS:
        if re.search(pattern, what):
            raise Refusal(f"{name} ({architecture}) {kind}: {_INSTEAD}")


def refused_unknown(name: str, config: Mapping[str, Any], architecture: str) -> Refusal:
    """Return the refusal of an unknown class."""
    model_type = config.get("model_type", "")
    brings = (
        "it brings its own code (auto_map), and code from a checkpoint is never run"
        if "auto_map" in config
        else "there is nothing to compute it with"
    )
    return Refusal(
        f"{name} is a {architecture or 'checkpoint that names no architecture'} (model_type "
        f"{model_type!r}), which neither transformers nor an engine here knows; {brings}: "
        f"{_INSTEAD}"
    )


def refuse_adapter(folder: Path) -> None:
    """Refuse a checkpoint with an adapter beside it, which transformers would put into it."""
    if (folder / "adapter_config.json").is_file():
        raise Refusal(
            f"{folder} has an adapter_config.json: its adapter is not put into the model here; "
            "merge it (`merge_and_unload` of peft), or remove the file if it is merged already"
        )


def adapter_hint(folder: Path) -> str:
    """Return a hint for a folder that holds an adapter alone; empty for other folders."""
    if (folder / "adapter_config.json").is_file():
        return "; it is an adapter, merge it"
    return ""
