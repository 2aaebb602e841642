"""Checkpoints with tensors that their own code names or joins otherwise than transformers.

The tensors are renamed and split, and a class of transformers that computes the same is built from
them; `jina_bert` has the one architecture that transformers lacks. Sources: the papers and the
names of the tensors; these repositories describe the same: Alibaba-NLP/new-impl,
jinaai/xlm-roberta-flash-implementation, jinaai/jina-bert-implementation.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from shards.checkpoint import Checkpoint, load_state
from shards.recipe import BIDIRECTIONAL, GTE, JINA_BERT, JINA_FLASH
from shards.refusal import Refusal, Report

Tensors = Mapping[str, torch.Tensor]

_QKV = ("query", "key", "value")
_NOT_OF_CONFIG = frozenset(
    {"model_type", "architectures", "auto_map", "rope_scaling", "rope_theta"}
)


def load_layout(
    layout: str, checkpoint: Checkpoint, *, dtype: torch.dtype, device: str, report: Report
) -> tuple[Any, tuple[str, ...]]:
    """Return the model of a checkpoint in a layout of its own, ready to score, and warnings.

    Raises:
        Refusal: a tensor is missing or has another shape.
    """
    report("loading weights, with the names of their own code")
    read = checkpoint.reader()
    tensors = {name: read(name) for name in checkpoint.tensors}
    loaded: tuple[Any, tuple[str, ...]] = _LOADERS[layout](checkpoint, tensors, dtype, device)
    return loaded


def _gte(
    checkpoint: Checkpoint, tensors: Tensors, dtype: torch.dtype, device: str
) -> tuple[Any, tuple[str, ...]]:
    from transformers import GteConfig, GteForSequenceClassification

    config = checkpoint.config
    theta = float(config.get("rope_theta", 10_000.0))
    rope = {"rope_type": "default", "rope_theta": theta}
    made = GteConfig(**_settings(config), rope_parameters=rope)
    renamed = _renamed(tensors, _GTE_NAMES, _gte_pieces)
    model, warnings = load_state(
        GteForSequenceClassification, made, renamed, checkpoint, dtype=dtype, device=device
    )
    if (scaling := config.get("rope_scaling")) is not None:
        _scale_rotations(model.gte.rotary_emb, made, theta, scaling, checkpoint)
    return model, warnings


def _scale_rotations(
    rotary: Any, config: Any, theta: float, scaling: Any, checkpoint: Checkpoint
) -> None:
    """Set the rotations of NTK scaling, as the model's own code computes them at load."""
    factor = scaling.get("factor") if isinstance(scaling, dict) else None
    is_ntk = isinstance(scaling, dict) and set(scaling) <= {"factor", "type"}
    if (
        not is_ntk
        or scaling.get("type") != "ntk"
        or not isinstance(factor, int | float)
        or factor < 1
    ):
        raise Refusal(f"{checkpoint.name}: rope_scaling is {scaling!r}; NTK with a factor is known")
    if factor == 1:
        return
    dim = config.hidden_size // config.num_attention_heads
    powers = torch.arange(0, dim, 2, dtype=torch.float32) / dim
    inverse = 1.0 / (theta * factor) ** powers / factor ** (2 / dim)
    rotary.inv_freq = inverse.to(rotary.inv_freq.device)
    rotary.original_inv_freq = rotary.inv_freq.clone()


_GTE_NAMES = (
    (r"^new\.", "gte."),
    (r"encoder\.layer\.", "layers."),
    (r"attention\.o_proj", "self_attn.o_proj"),
    (r"\.attn_ln\.", ".post_attention_layernorm."),
    (r"\.mlp_ln\.", ".post_mlp_layernorm."),
)


def _gte_pieces(name: str, tensor: torch.Tensor) -> Iterable[tuple[str, torch.Tensor]]:
    for joined, names in (
        ("attention.qkv_proj", [f"self_attn.{letter}_proj" for letter in "qkv"]),
        ("mlp.up_gate_proj", ["mlp.up_proj", "mlp.gate_proj"]),
    ):
        if joined in name:
            pieces = tensor.chunk(len(names))
            return [
                (name.replace(joined, new), one) for new, one in zip(names, pieces, strict=True)
            ]
    return [(name, tensor)]


def _jina_flash(
    checkpoint: Checkpoint, tensors: Tensors, dtype: torch.dtype, device: str
) -> tuple[Any, tuple[str, ...]]:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    renamed = _renamed(tensors, _FLASH_NAMES, _flash_pieces)
    made = XLMRobertaConfig(**_settings(checkpoint.config))
    return load_state(
        XLMRobertaForSequenceClassification, made, renamed, checkpoint, dtype=dtype, device=device
    )


_FLASH_NAMES = (
    (r"^roberta\.emb_ln\.", "roberta.embeddings.LayerNorm."),
    (r"encoder\.layers\.", "encoder.layer."),
    (r"\.mixer\.out_proj\.", ".attention.output.dense."),
    (r"\.norm1\.", ".attention.output.LayerNorm."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm2\.", ".output.LayerNorm."),
)


def _flash_pieces(name: str, tensor: torch.Tensor) -> Iterable[tuple[str, torch.Tensor]]:
    if ".mixer.Wqkv." not in name:
        return [(name, tensor)]
    names = [name.replace(".mixer.Wqkv.", f".attention.self.{one}.") for one in _QKV]
    return list(zip(names, tensor.chunk(3), strict=True))


def _jina_bert(
    checkpoint: Checkpoint, tensors: Tensors, dtype: torch.dtype, device: str
) -> tuple[Any, tuple[str, ...]]:
    from transformers import BertConfig

    from shards.engines.encoder.jina_bert import JinaBert

    made = BertConfig(**_settings(checkpoint.config))
    return load_state(JinaBert, made, tensors, checkpoint, dtype=dtype, device=device)


def _bidirectional(
    checkpoint: Checkpoint, tensors: Tensors, dtype: torch.dtype, device: str
) -> tuple[Any, tuple[str, ...]]:
    """Return a Llama body whose tokens see those after them; its rows are read apart."""
    from transformers import LlamaConfig, LlamaModel

    made = LlamaConfig(**_settings(checkpoint.config) | {"is_causal": False}, **_rope(checkpoint))
    body = {
        name.removeprefix("model."): one for name, one in tensors.items() if "score" not in name
    }
    return load_state(LlamaModel, made, body, checkpoint, dtype=dtype, device=device)


def _rope(checkpoint: Checkpoint) -> dict[str, Any]:
    keys = ("rope_theta", "rope_scaling")
    return {key: checkpoint.config[key] for key in keys if checkpoint.config.get(key) is not None}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_OF_CONFIG}


def _renamed(
    tensors: Tensors,
    names: tuple[tuple[str, str], ...],
    pieces: Callable[[str, torch.Tensor], Iterable[tuple[str, torch.Tensor]]],
) -> dict[str, torch.Tensor]:
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        for old, new in names:
            name = re.sub(old, new, name)
        renamed.update(pieces(name, tensor))
    return renamed


_LOADERS: dict[str, Any] = {
    GTE: _gte,
    JINA_FLASH: _jina_flash,
    JINA_BERT: _jina_bert,
    BIDIRECTIONAL: _bidirectional,
}
