"""Full-size checkpoints with random weights: right for speed and memory, wrong for everything else.

They have the sizes of Qwen3-Reranker-0.6B and mxbai-rerank-base-v2, in bf16, and of cross-encoders
like rubert-base (as in DiTy/cross-encoder-russian-msmarco) and ModernBERT-base. Their tokenizers
are small and our own, trained on the prompt and on the texts of the workloads, so that a common
word is one token, as it is for the real tokenizers. Their ids are the first of the vocabulary.
"""

import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.cli.bench.workloads import requests
from shards.prompts import TEMPLATES
from tests import checkpoints

QWEN3_06B: dict[str, Any] = {
    "vocab_size": 151_669,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
    "rope_theta": 1_000_000,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}

QWEN2_05B: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_theta": 1_000_000,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}


RUBERT_BASE: dict[str, Any] = {
    "vocab_size": 119_547,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "initializer_range": 0.02,
}


MODERNBERT_BASE: dict[str, Any] = {
    "vocab_size": 50_368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "initializer_range": 0.02,
    "classifier_pooling": "mean",
    "local_attention": 128,
    "max_position_embeddings": 8192,
}


def lasting(name: str) -> Path:
    """Return the folder that keeps a checkpoint from one measurement to the next."""
    return Path(tempfile.gettempdir()) / "rerank-gateway-full-size" / name


def qwen3_06b(folder: Path, config: dict[str, Any] = QWEN3_06B) -> Path:
    """Write Qwen3-Reranker-0.6B's shape with random weights (1.2 GB), unless it is there."""
    folder = _decoder(folder, "Qwen3", config)
    checkpoints.change_config(folder, _name_or_path="Qwen/Qwen3-Reranker-0.6B")  # names its prompt
    return folder


def qwen2_05b(folder: Path, config: dict[str, Any] = QWEN2_05B) -> Path:
    """Write mxbai-rerank-base-v2's shape with random weights (1.0 GB), unless it is there.

    The name selects the prompt, so the folder's name must contain `mxbai-rerank`.
    """
    return _decoder(folder, "Qwen2", config)


def decoder_folder(named: Path | None) -> Path:
    """Return the folder of a checkpoint; random weights for none and for `mxbai-rerank`."""
    if named == Path("mxbai-rerank"):
        return qwen2_05b(lasting("mxbai-rerank-base-v2"))
    return named or qwen3_06b(lasting("qwen3-0.6b"))


def _decoder(folder: Path, family: str, config: dict[str, Any]) -> Path:
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        settings = getattr(transformers, f"{family}Config")(**config)
        model = getattr(transformers, f"{family}ForCausalLM")(settings)
    finally:
        torch.set_default_dtype(default)
    checkpoints.write_tokenizer(
        folder,
        checkpoints.chat_tokenizer(texts()),
        tokenizer_class="Qwen2Tokenizer",
        unk_token=None,
        pad_token="<|endoftext|>",
    )
    model.save_pretrained(folder)
    return folder


def rubert_base(folder: Path, config: dict[str, Any] = RUBERT_BASE) -> Path:
    """Write a cross-encoder like rubert-base with random weights (0.7 GB), unless it is there."""
    if (folder / "model.safetensors").is_file():
        return folder
    checkpoints.encoder(folder, "bert", types=True, **config)
    checkpoints.write_tokenizer(
        folder,
        checkpoints.word_tokenizer(texts()),
        tokenizer_class="BertTokenizer",
        do_lower_case=False,
        limit=512,
    )
    return folder


def modernbert_base(folder: Path) -> Path:
    """Write a cross-encoder like ModernBERT-base, random weights (0.6 GB), unless it is there."""
    if not (folder / "model.safetensors").is_file():
        checkpoints.modernbert(folder, **MODERNBERT_BASE)
    return folder


def texts() -> tuple[str, ...]:
    """Return the training texts of tokenizers: the prompt, and some requests of the workloads."""
    prompt = TEMPLATES["qwen3-reranker"]
    documents = (text for asked in islice(requests("rag20", 0), 3) for text in asked.documents)
    return (*prompt.literals, prompt.instruction, *documents)
