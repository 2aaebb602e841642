"""Qwen3's weights, from the file to the layout of its forward pass, a layer at a time.

Tensors are read from the file one by one and released when they are packed, so that a model never
takes its size twice. The embeddings stay in the file, mapped: only rows that are used are read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from shards.engines.decoder.qwen3 import Layer
from shards.engines.decoder.qwen3_shape import Shape

Tensors = Callable[[str], torch.Tensor]
"""Returns a tensor of the body by its name, `layers.0.mlp.up_proj.weight`, in any float format."""

Pack = Callable[[Sequence[torch.Tensor]], Any]
"""Makes the product with weights that lie one below the other, see `linear`."""


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
