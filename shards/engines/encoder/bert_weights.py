"""From transformers' layers to those of `bert`: weights joined and scaled, one layer at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from shards.engines.encoder.bert import FAMILIES, FloatLayer
from shards.engines.layers.encoder_elementwise import sum_norm_for
from shards.engines.layers.linear import format_of, pack
from shards.native.normed import Norm


def fits(config: Any) -> bool:
    """Return whether `bert` computes models of this transformers config."""
    return (
        config.model_type in FAMILIES
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
    )


@dataclass(frozen=True, slots=True)
class Matrix:
    """The weight and bias of a product: `[outputs, inputs]` and `[outputs]`."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The weights of a loaded layer; queries are scaled, and joined with keys and values."""

    heads: int
    qkv: Matrix
    out: Matrix
    attention_norm: Norm
    up: Matrix
    down: Matrix
    norm: Norm


def weights_of(body: Any) -> Iterator[LayerWeights]:
    """Yield the weights of each layer of a transformers model without its head."""
    config = body.config
    scale = (config.hidden_size // config.num_attention_heads) ** -0.5
    for layer in body.encoder.layer:
        attention = layer.attention
        query, key, value = (
            _matrix(getattr(attention.self, name)) for name in ("query", "key", "value")
        )
        yield LayerWeights(
            heads=config.num_attention_heads,
            qkv=Matrix(
                torch.cat([query.weight * scale, key.weight, value.weight]),
                torch.cat([query.bias * scale, key.bias, value.bias]),
            ),
            out=_matrix(attention.output.dense),
            attention_norm=_norm(attention.output.LayerNorm),
            up=_matrix(layer.intermediate.dense),
            down=_matrix(layer.output.dense),
            norm=_norm(layer.output.LayerNorm),
        )


def _matrix(linear: Any) -> Matrix:
    return Matrix(linear.weight.detach(), linear.bias.detach())


def _norm(norm: Any) -> Norm:
    return Norm(norm.weight.detach(), norm.bias.detach(), norm.eps)


def float_layer(weights: LayerWeights, dtype: str) -> FloatLayer:
    """Pack a layer for a number format, on the device where its weights are."""
    device = str(weights.qkv.weight.device)
    between = sum_norm_for(device, format_of(dtype), len(weights.norm.weight))

    def linear(matrix: Matrix, activation: str = "none") -> Any:
        return pack(matrix.weight, matrix.bias, dtype, device, activation)

    return FloatLayer(
        qkv=linear(weights.qkv),
        out=linear(weights.out),
        attention_norm=between.norm(weights.attention_norm),
        up=linear(weights.up, "gelu"),
        down=linear(weights.down),
        norm=between.norm(weights.norm),
        between=between,
        heads=weights.heads,
    )
