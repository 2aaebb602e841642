"""Folders of late-interaction models, as PyLate and Stanford write them, with random weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import without_head, write_json

HIDDEN, WIDTH = 64, 16
PREFIXES = {"query_prefix": "a", "document_prefix": "t"}
"""Tokens of the vocabulary; those of the hub are tokens that were added."""

_DENSE = {
    "in_features": HIDDEN,
    "out_features": WIDTH,
    "bias": False,
    "activation_function": "torch.nn.modules.linear.Identity",
    "use_residual": False,
}


def projection() -> torch.Tensor:
    """Return the projection of both layouts."""
    return torch.randn(WIDTH, HIDDEN, generator=torch.Generator().manual_seed(7)) * 0.2


def pylate(
    folder: Path,
    make: str = "bert",
    *,
    dense: Mapping[str, Any] | None = None,
    kind: str = "pylate.models.Dense.Dense",
    **settings: Any,
) -> Path:
    """Write a folder as PyLate 1.6 saves it."""
    getattr(checkpoints, make)(folder)
    without_head(folder)
    listed = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": kind},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Dense").mkdir()
    write_json(folder / "1_Dense/config.json", {**_DENSE, **(dense or {})})
    save_file({"linear.weight": projection()}, folder / "1_Dense/model.safetensors")
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False}
    )
    usual = {
        "model_type": "ColBERT",
        "__version__": {"sentence_transformers": "5.3.0"},
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        **PREFIXES,
        "query_length": 16,
        "document_length": 48,
        "attend_to_expansion_tokens": False,
        "skiplist_words": [".", ","],
        "do_query_expansion": True,
    }
    write_json(folder / "config_sentence_transformers.json", {**usual, **settings})
    return folder


def stanford(folder: Path, **settings: Any) -> Path:
    """Write a folder as answerai-colbert-small-v1 has it."""
    checkpoints.bert(folder)
    without_head(folder)
    path = folder / "model.safetensors"
    body = {f"bert.{name}": tensor for name, tensor in load_file(path).items()}
    save_file({**body, "linear.weight": projection()}, path, metadata={"format": "pt"})
    checkpoints.change_config(folder, architectures=["HF_ColBERT"])
    usual = {
        "query_token_id": PREFIXES["query_prefix"],
        "doc_token_id": PREFIXES["document_prefix"],
        "query_token": "[Q]",
        "doc_token": "[D]",
        "query_maxlen": 16,
        "doc_maxlen": 48,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "similarity": "cosine",
        "dim": WIDTH,
        "nbits": 2,
    }
    write_json(folder / "artifact.metadata", {**usual, **settings})
    return folder


LAYOUTS = {"PyLate": pylate, "Stanford": stanford}
KINDS = {"ColBERT": LAYOUTS}
"""The kind of the table of supported models, and its layouts."""
