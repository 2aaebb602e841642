"""Qwen3's weights, from the file to the layout that its forward pass wants, a layer at a time.

Tensors are read from the file one by one and let go of when they are packed, so that a model never
takes its size twice. The embeddings stay in the file, mapped: only rows that are used are read.
"""

from collections.abc import Callable
from typing import Any

import torch

from shards.engines.linears import pack
from shards.engines.qwen3 import Layer, Shape

Tensors = Callable[[str], torch.Tensor]
"""Returns a tensor of the body by its name, `layers.0.mlp.up_proj.weight`, in any float format."""


def shape_of(config: Any) -> Shape | None:
    """Return the shape of a transformers config; `None` if `qwen3` is not the pass for it."""
    if config.model_type != "qwen3":
        return None
    rope = config.rope_parameters or {}
    is_plain = (
        config.hidden_act == "silu"
        and not config.attention_bias
        and set(config.layer_types) == {"full_attention"}
        and rope.get("rope_type") == "default"
    )
    if not is_plain:
        return None
    return Shape(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        eps=config.rms_norm_eps,
        theta=rope["rope_theta"],
    )


def read_layer(shape: Shape, at: int, tensors: Tensors, dtype: str, device: str) -> Layer:
    """Read and pack layer `at` for a number format and a device."""

    def linear(*rows: torch.Tensor) -> Any:
        return pack(torch.cat(rows) if len(rows) > 1 else rows[0], None, dtype, device)

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
        vkq=linear(v, k) if is_last else linear(v, k, q),
        q=linear(q) if is_last else None,
        turned_norms=torch.stack([k_norm] * shape.kv_heads + [q_norm] * shape.heads),
        out=linear(weight("self_attn.o")),
        mlp_norm=norm("post_attention_layernorm"),
        gate_up=linear(weight("mlp.gate"), weight("mlp.up")),
        down=linear(weight("mlp.down")),
    )


def _pairs_together(head_dim: int) -> torch.Tensor:
    """Return the order in which the two halves of a head alternate."""
    return torch.arange(head_dim).view(2, -1).T.reshape(-1)


def _heads_permuted(rows: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return rows.view(-1, len(order), rows.shape[1])[:, order].reshape(rows.shape)
