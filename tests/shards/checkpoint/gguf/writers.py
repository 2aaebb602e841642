"""GGUF files of checkpoints by the `gguf` package's writer, as llama.cpp's converter makes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from shards.checkpoint.gguf.families import FAMILIES

KINDS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""The number formats that the package writes; llama.cpp alone writes the others."""

CONTROL, USER_DEFINED, UNUSED = 3, 4, 5
Change = Callable[[gguf.GGUFWriter], None]


def written(
    folder: Path,
    path: Path,
    kind: str = "Q8_0",
    *,
    change: Change | None = None,
    without: str = "",
) -> dict[str, np.ndarray]:
    """Write a checkpoint's GGUF file; return the numbers that its tensors stand for, by our names.

    Args:
        folder: a tiny Qwen3 of one head per token, or an XLM-RoBERTa.
        change: writes more keys or tensors.
        without: the start of the names of tensors that are left out.
    """
    config = json.loads((folder / "config.json").read_text())
    architecture = "qwen3" if config["model_type"] == "qwen3" else "bert"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Test Reranker")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    (_qwen3 if architecture == "qwen3" else _xlm_roberta)(writer, folder, config)
    stored = load_file(folder / "model.safetensors")
    if architecture == "qwen3":
        stored["score.weight"] = _answers(folder, stored)
        stored.pop("lm_head.weight", None)
    else:
        name = "roberta.embeddings.position_embeddings.weight"
        stored[name] = stored[name][2:]
    names = _gguf_names(architecture, config["num_hidden_layers"])
    numbers = {}
    for ours, theirs in names.items():
        if ours in stored and not (without and theirs.startswith(without)):
            numbers[ours] = _add(writer, theirs, stored[ours], kind)
    if change:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return numbers


def _add(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray, kind: str) -> np.ndarray:
    named = gguf.GGMLQuantizationType[kind if tensor.ndim == 2 else "F32"]
    block, _ = gguf.GGML_QUANT_SIZES[named]
    if tensor.shape[-1] % block or "position" in name:
        named = gguf.GGMLQuantizationType.F32
    content = gguf.quantize(tensor.astype(np.float32), named)
    writer.add_tensor(name, content, raw_dtype=named)
    return gguf.dequantize(content, named)


def _gguf_names(architecture: str, layers: int) -> dict[str, str]:
    """Return the names in GGUF by ours."""
    family = FAMILIES[architecture]
    parts = [*family.names, *(f"blk.{at}.{part}" for at in range(layers) for part in family.layer)]
    names = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    return {ours: name for name in names if (ours := family.name(name))}


def _answers(folder: Path, stored: dict[str, np.ndarray]) -> np.ndarray:
    """Return the rows of yes and no of the head."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    head = stored.get("lm_head.weight", stored["model.embed_tokens.weight"])
    return head[[tokenizer["model"]["vocab"][word] for word in ("yes", "no")]]


def _qwen3(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    ids = {id: token for token, id in tokenizer["model"]["vocab"].items()}
    types = dict.fromkeys(ids, 1)
    for added in tokenizer["added_tokens"]:
        ids[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    rows = range(config["vocab_size"])
    writer.add_token_list([ids.get(id, f"[PAD{id}]") for id in rows])
    writer.add_token_types([types.get(id, UNUSED) for id in rows])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_pad_token_id(next(id for id, token in ids.items() if token == "<|endoftext|>"))


def _xlm_roberta(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    writer.add_context_length(config["max_position_embeddings"] - 2)
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_classifier_output_labels(["LABEL_0"])
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    special = {added["id"] for added in tokenizer["added_tokens"]}
    pieces = tokenizer["model"]["vocab"]
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_scores([score for _, score in pieces])
    writer.add_token_types([CONTROL if id in special else 1 for id in range(len(pieces))])
    writer.add_add_space_prefix(True)
