"""From transformers' ModernBERT to `modernbert`: weights joined and scaled, one layer at a time."""

from typing import Any

import torch

from shards.engines.encoder.cross_encoder import Unpadded
from shards.engines.encoder.modernbert import Layer, ModernBert, Scaling
from shards.engines.layers.linear import Linear, format_of, pack

_KINDS = {False: "full_attention", True: "sliding_attention"}
_BIASES = ("attention_bias", "mlp_bias", "norm_bias")


def fits(config: Any) -> bool:
    """Return whether `modernbert` computes models of this transformers config."""
    return (
        config.model_type == "modernbert"
        and config.hidden_activation == "gelu"
        and not any(getattr(config, bias) for bias in _BIASES)
        and all(config.rope_parameters[kind]["rope_type"] == "default" for kind in _KINDS.values())
        and _head_dim(config) % 2 == 0
    )


def unpadded(model: Any, dtype: str) -> Unpadded:
    """Return a loaded transformers model with layers of ours."""
    body, form = model.base_model, format_of(dtype)
    encoder = ModernBert(
        body,
        [_layer(body, at, dtype) for at in range(len(body.layers))],
        speeds=lambda is_local: _speeds(body.config, is_local).to(model.device),
        norm=_scaling(body.final_norm, torch.float32),
        form=form,
    )
    return Unpadded(
        encoder.pooled, lambda pooled: model.classifier(model.head(pooled)), str(model.device)
    )


def _head_dim(config: Any) -> int:
    return int(config.hidden_size // config.num_attention_heads)


def _speeds(config: Any, is_local: bool) -> torch.Tensor:
    dim = _head_dim(config)
    theta = config.rope_parameters[_KINDS[is_local]]["rope_theta"]
    return torch.pow(theta, torch.arange(0, dim, 2, dtype=torch.float32) / -dim)


def _scaling(norm: Any, form: torch.dtype) -> Scaling:
    return Scaling(norm.weight.detach().to(form), norm.eps)


def _layer(body: Any, at: int, dtype: str) -> Layer:
    layer, config, form = body.layers[at], body.config, format_of(dtype)
    up, gate = layer.mlp.Wi.weight.detach().chunk(2)

    def linear(weight: torch.Tensor, activation: str = "none") -> Linear:
        return pack(weight, None, dtype, str(weight.device), activation)

    return Layer(
        is_local=config.layer_types[at] == _KINDS[True],
        attention_norm=_scaling(layer.attn_norm, form) if at else None,
        qkv=linear(_turnable(layer.attn.Wqkv.weight.detach(), _head_dim(config))),
        out=linear(layer.attn.Wo.weight.detach()),
        norm=_scaling(layer.mlp_norm, form),
        up=linear(up, "gelu"),
        gate=linear(gate),
        down=linear(layer.mlp.Wo.weight.detach()),
    )


def _turnable(weight: torch.Tensor, dim: int) -> torch.Tensor:
    """Scale queries, and interleave the two halves of each head of queries and keys."""
    queries, keys, values = weight.chunk(3)
    alternating = [
        rows.view(-1, 2, dim // 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)
        for rows in (queries * dim**-0.5, keys)
    ]
    return torch.cat([*alternating, values])
