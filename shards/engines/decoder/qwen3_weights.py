"""Qwen3's weights, from the file to the layout of its forward pass, a layer at a time.

Tensors are read from the file one by one and released when they are packed, so that a model never
takes its size twice. The embeddings stay in the file, mapped: only rows that are used are read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from shards.engines.decoder.qwen3 import Layer, Shape

Tensors = Callable[[str], torch.Tensor]
"""Returns a tensor of the body by its name, `layers.0.mlp.up_proj.weight`, in any float format."""

Pack = Callable[[Sequence[torch.Tensor]], Any]
"""Makes the product with weights that lie one below the other, see `linear`."""

_FULL = "full_attention"

_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps"),
)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Return the shape of a config; `None` if `qwen3` cannot compute it, or keys are missing.

    Args:
        config: the content of config.json, in the form of transformers 4 or 5.
    """
    theta = _theta(config)
    kinds = config.get("layer_types")
    is_full = not config.get("use_sliding_window") if kinds is None else set(kinds) == {_FULL}
    is_plain = (
        config.get("model_type") == "qwen3"
        and config.get("hidden_act") == "silu"
        and config.get("attention_bias") is False
        and config.get("is_causal", True)
        and all(config.get(name) is not None for name in _SIZES)
        and is_full
    )
    if not is_plain or theta is None:
        return None
    return Shape(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        inner=config["intermediate_size"],
        eps=config["rms_norm_eps"],
        theta=theta,
    )


def _theta(config: Mapping[str, Any]) -> float | None:
    """Return the base of plain rotary positions; `None` for others, and where none is given."""
    rope = config.get("rope_parameters")
    if rope is None:
        return config.get("rope_theta") if config.get("rope_scaling") is None else None
    is_plain = rope.get("rope_type") == "default" and set(rope) <= {"rope_type", "rope_theta"}
    return rope.get("rope_theta") if is_plain else None


def body_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of the body of a config that has a `Shape`."""
    vocabulary, hidden, inner, layers, heads, kv_heads, dim, _ = (config[name] for name in _SIZES)
    layer = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (heads * dim, hidden),
        "self_attn.k_proj": (kv_heads * dim, hidden),
        "self_attn.v_proj": (kv_heads * dim, hidden),
        "self_attn.q_norm": (dim,),
        "self_attn.k_norm": (dim,),
        "self_attn.o_proj": (hidden, heads * dim),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (vocabulary, hidden),
        "norm.weight": (hidden,),
    }
    for at in range(layers):
        shapes |= {f"layers.{at}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def read_layer(shape: Shape, at: int, tensors: Tensors, pack: Pack, device: str) -> Layer:
    """Read layer `at` for a device, and pack its weights."""

    def norm(name: str) -> torch.Tensor:
        return tensors(f"layers.{at}.{name}.weight").to(device, torch.float32, copy=True)

    def weight(name: str) -> torch.Tensor:
        return tensors(f"layers.{at}.{name}_proj.weight")

    q, k, v = (weight(f"self_attn.{name}") for name in "qkv")
    order = _pairs_together(shape.head_dim)
    q, k = (_heads_permuted(rows, order) for rows in (q, k))
    q_norm = norm("self_attn.q_norm")[order] * shape.head_dim**-0.5
    k_norm = norm("self_attn.k_norm")[order]
    is_last = at == shape.layers - 1
    return Layer(
        norm=norm("input_layernorm"),
        vkq=pack([v, k] if is_last else [v, k, q]),
        q=pack([q]) if is_last else None,
        turned_norms=torch.stack([k_norm] * shape.kv_heads + [q_norm] * shape.heads),
        out=pack([weight("self_attn.o")]),
        mlp_norm=norm("post_attention_layernorm"),
        gate_up=pack([weight("mlp.gate"), weight("mlp.up")]),
        down=pack([weight("mlp.down")]),
    )


def _pairs_together(head_dim: int) -> torch.Tensor:
    """Return the order in which the two halves of a head alternate."""
    return torch.arange(head_dim).view(2, -1).T.reshape(-1)


def _heads_permuted(rows: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return rows.view(-1, len(order), rows.shape[1])[:, order].reshape(rows.shape)
