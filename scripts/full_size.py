"""Full-size checkpoints with random weights: right for speed and memory, wrong for everything else.

Cross-encoders of rubert-base's size, as DiTy's is, with a small tokenizer of our own. Qwen3-Reranker-0.6B as its config.json says, in bf16, with a small tokenizer of our own whose ids are
the first of the 151,669.
"""

from pathlib import Path
from typing import Any

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


RUBERT_BASE: dict[str, Any] = {
    "vocab_size": 119_547,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "initializer_range": 0.02,
}


def qwen3_06b(folder: Path) -> Path:
    """Write Qwen3-Reranker-0.6B's shape with random weights (1.2 GB), unless it lies there already."""
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**QWEN3_06B))
    finally:
        torch.set_default_dtype(default)
    model.save_pretrained(folder)
    checkpoints.write_tokenizer(
        folder,
        checkpoints.chat_tokenizer(),
        tokenizer_class="Qwen2Tokenizer",
        unk_token=None,
        pad_token="<|endoftext|>",
    )
    return folder


def rubert_base(folder: Path) -> Path:
    """Write a cross-encoder of rubert-base's shape with random weights (0.7 GB), unless it is there."""
    if not (folder / "model.safetensors").is_file():
        checkpoints.encoder(folder, "bert", types=True, **RUBERT_BASE)
    return folder
