"""Forward passes of models whose card has code of its own, function by function, for one pair.

They are written from the papers and the names of the tensors. The engines compute the same models
with modules of transformers, so a fault of either shows.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import gelu, layer_norm, relu, silu

Pass = Callable[[list[int], list[int]], torch.Tensor]
Tensors = Mapping[str, torch.Tensor]


def is_bidirectional(config: Mapping[str, Any]) -> bool:
    """Return whether a config is of a Llama that attends both ways."""
    return "LlamaBidirectional" in str(config.get("architectures"))


def for_checkpoint(folder: Path, config: Mapping[str, Any]) -> Pass | None:
    """Return a function for the logits of a pair; `None` for models that transformers has."""
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    names = str(config.get("architectures"))
    if not any(part in names for part in ("New", "XLMRoberta", "Bert", "Bidirectional")):
        return None
    for path in folder.glob("*.safetensors"):
        tensors |= {name: tensor.float() for name, tensor in load_file(path).items()}
    if is_bidirectional(config):
        return lambda ids, types: _llama(tensors, config, ids)
    if "new.encoder.layer.0.attention.qkv_proj.weight" in tensors:
        return lambda ids, types: _gte(tensors, config, ids, types)
    if "roberta.encoder.layers.0.mixer.Wqkv.weight" in tensors:
        return lambda ids, types: _flash(tensors, config, ids)
    if "bert.encoder.layer.0.mlp.gated_layers.weight" in tensors:
        return lambda ids, types: _jina(tensors, config, ids, types)
    return None


def _linear(tensors: Tensors, name: str, states: torch.Tensor) -> torch.Tensor:
    product = states @ tensors[f"{name}.weight"].T
    return product + tensors[f"{name}.bias"] if f"{name}.bias" in tensors else product


def _normed(tensors: Tensors, name: str, states: torch.Tensor, eps: float) -> torch.Tensor:
    weight = tensors[f"{name}.weight"]
    return layer_norm(states, weight.shape, weight, tensors[f"{name}.bias"], eps)


def _heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    return states.view(len(states), heads, -1).transpose(0, 1)


def _attended(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | float = 0.0
) -> torch.Tensor:
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + bias
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def _rotated(states: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    angles = torch.arange(float(states.shape[1]))[:, None] * inverse
    sin, cos = angles.sin(), angles.cos()
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _gte(
    tensors: Tensors, config: Mapping[str, Any], ids: list[int], types: list[int]
) -> torch.Tensor:
    eps, heads = config.get("layer_norm_eps", 1e-12), config["num_attention_heads"]
    states = tensors["new.embeddings.word_embeddings.weight"][ids]
    if (table := tensors.get("new.embeddings.token_type_embeddings.weight")) is not None:
        states = states + table[types if len(table) > 1 else [0] * len(ids)]
    states = _normed(tensors, "new.embeddings.LayerNorm", states, eps)
    dim = states.shape[1] // heads
    base, factor = config["rope_theta"], (config.get("rope_scaling") or {}).get("factor", 1.0)
    inverse = 1.0 / (base * factor) ** (torch.arange(0, dim, 2) / dim)
    inverse = inverse / factor ** (2 / dim)
    for at in range(config["num_hidden_layers"]):
        layer = f"new.encoder.layer.{at}"
        joined = _linear(tensors, f"{layer}.attention.qkv_proj", states)
        q, k, v = (_heads(part, heads) for part in joined.chunk(3, dim=1))
        attended = _attended(_rotated(q, inverse), _rotated(k, inverse), v)
        states = states + _linear(tensors, f"{layer}.attention.o_proj", attended)
        states = _normed(tensors, f"{layer}.attn_ln", states, eps)
        up, gate = _linear(tensors, f"{layer}.mlp.up_gate_proj", states).chunk(2, dim=1)
        made = _linear(tensors, f"{layer}.mlp.down_proj", gelu(gate) * up)
        states = _normed(tensors, f"{layer}.mlp_ln", states + made, eps)
    pooled = _linear(tensors, "new.pooler.dense", states[0]).tanh()
    return _linear(tensors, "classifier", pooled)


def _flash(tensors: Tensors, config: Mapping[str, Any], ids: list[int]) -> torch.Tensor:
    eps, heads = config.get("layer_norm_eps", 1e-5), config["num_attention_heads"]
    first = config.get("pad_token_id", 1) + 1
    states = tensors["roberta.embeddings.word_embeddings.weight"][ids]
    places = tensors["roberta.embeddings.position_embeddings.weight"]
    states = states + places[first : first + len(ids)]
    if (table := tensors.get("roberta.embeddings.token_type_embeddings.weight")) is not None:
        states = states + table[0]
    states = _normed(tensors, "roberta.emb_ln", states, eps)
    for at in range(config["num_hidden_layers"]):
        layer = f"roberta.encoder.layers.{at}"
        joined = _linear(tensors, f"{layer}.mixer.Wqkv", states)
        q, k, v = (_heads(part, heads) for part in joined.chunk(3, dim=1))
        mixed = _linear(tensors, f"{layer}.mixer.out_proj", _attended(q, k, v))
        states = _normed(tensors, f"{layer}.norm1", states + mixed, eps)
        made = _linear(
            tensors, f"{layer}.mlp.fc2", gelu(_linear(tensors, f"{layer}.mlp.fc1", states))
        )
        states = _normed(tensors, f"{layer}.norm2", states + made, eps)
    return _linear(
        tensors, "classifier.out_proj", _linear(tensors, "classifier.dense", states[0]).tanh()
    )


def _jina(
    tensors: Tensors, config: Mapping[str, Any], ids: list[int], types: list[int]
) -> torch.Tensor:
    eps, heads = config.get("layer_norm_eps", 1e-12), config["num_attention_heads"]
    act = relu if config.get("feed_forward_type") == "reglu" else gelu
    states = tensors["bert.embeddings.word_embeddings.weight"][ids]
    states = states + tensors["bert.embeddings.token_type_embeddings.weight"][types]
    states = _normed(tensors, "bert.embeddings.LayerNorm", states, eps)
    places = torch.arange(len(ids))
    falls = torch.tensor(_falls(heads))[:, None, None]
    bias = -falls * (places[None] - places[:, None]).abs()
    for at in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{at}"
        q, k, v = (
            _heads(_linear(tensors, f"{layer}.attention.self.{name}", states), heads)
            for name in ("query", "key", "value")
        )
        mixed = _linear(tensors, f"{layer}.attention.output.dense", _attended(q, k, v, bias))
        states = _normed(tensors, f"{layer}.attention.output.LayerNorm", states + mixed, eps)
        gate, other = _linear(tensors, f"{layer}.mlp.gated_layers", states).chunk(2, dim=1)
        made = _linear(tensors, f"{layer}.mlp.wo", act(gate) * other)
        states = _normed(tensors, f"{layer}.mlp.layernorm", states + made, eps)
    pooled = _linear(tensors, "bert.pooler.dense", states[0]).tanh()
    return _linear(tensors, "classifier", pooled)


def _falls(heads: int) -> list[float]:
    """Return the slopes of ALiBi."""
    if heads & (heads - 1) == 0:
        start = 2.0 ** -(2.0 ** -(math.log2(heads) - 3))
        return [start * start**at for at in range(heads)]
    nearest = 2 ** math.floor(math.log2(heads))
    return _falls(nearest) + _falls(2 * nearest)[0::2][: heads - nearest]


def _llama(tensors: Tensors, config: Mapping[str, Any], ids: list[int]) -> torch.Tensor:
    heads, eps = config["num_attention_heads"], config["rms_norm_eps"]
    kv_heads = config.get("num_key_value_heads", heads)
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10_000.0)}

    def rms(name: str, states: torch.Tensor) -> torch.Tensor:
        scale = states.pow(2).mean(-1, keepdim=True).add(eps).rsqrt()
        return tensors[f"{name}.weight"] * states * scale

    states = tensors["model.embed_tokens.weight"][ids]
    for at in range(config["num_hidden_layers"]):
        layer = f"model.layers.{at}"
        normed = rms(f"{layer}.input_layernorm", states)
        q, k, v = (_linear(tensors, f"{layer}.self_attn.{part}_proj", normed) for part in "qkv")
        q, k, v = _heads(q, heads), _heads(k, kv_heads), _heads(v, kv_heads)
        dim = q.shape[-1]
        inverse = 1.0 / rope["rope_theta"] ** (torch.arange(0, dim, 2) / dim)
        q, k = _rotated(q, inverse), _rotated(k, inverse)
        k, v = (part.repeat_interleave(heads // kv_heads, dim=0) for part in (k, v))
        states = states + _linear(tensors, f"{layer}.self_attn.o_proj", _attended(q, k, v))
        normed = rms(f"{layer}.post_attention_layernorm", states)
        gate = silu(_linear(tensors, f"{layer}.mlp.gate_proj", normed))
        states = states + _linear(
            tensors,
            f"{layer}.mlp.down_proj",
            gate * _linear(tensors, f"{layer}.mlp.up_proj", normed),
        )
    states = rms("model.norm", states)
    pooled = {"avg": states.mean(0), "cls": states[0], "last": states[-1]}
    logits = pooled[config.get("pooling", "avg")] @ tensors["score.weight"].T
    return logits / float(config.get("temperature", 1.0))
