"""Qwen3's sizes, and whether a checkpoint stores just the tensors of one; no model library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shards.checkpoint import Checkpoint, Shapes, stored_shapes, stores_just
from shards.engines.layers.heads import Heads

BEFORE = "model."
"""The start of the names of the body's tensors in a checkpoint with a head."""

_TIED_NAMES = ("model.embed_tokens.weight", "embed_tokens.weight", "lm_head.weight")
_UNTIED_NAMES = ("lm_head.weight",)

_FULL = "full_attention"

_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps"),
)


@dataclass(frozen=True, slots=True)
class Shape(Heads):
    """The sizes of a model, from its config.

    Attributes:
        inner: the width of the feed-forward block.
    """

    inner: int
    eps: float
    theta: float


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


def can_be_read_alone(checkpoint: Checkpoint, vocabulary_size: int) -> bool:
    """Return whether config.json describes a Qwen3 in full, and just its tensors are stored."""
    config = checkpoint.config
    if shape_of(config) is None or config["vocab_size"] < vocabulary_size:
        return False
    body: Shapes = {BEFORE + name: shape for name, shape in body_shapes(config).items()}
    rows = {"lm_head.weight": (config["vocab_size"], config["hidden_size"])}
    if checkpoint.architecture == "Qwen3ForCausalLM" and "tie_word_embeddings" in config:
        is_tied = config["tie_word_embeddings"]
        return stores_just(checkpoint, body if is_tied else {**body, **rows}, rows)
    if checkpoint.architecture == "Qwen3ForSequenceClassification":
        labels = stored_shapes(checkpoint).get("score.weight", [0])[0]
        score = {"score.weight": (labels, config["hidden_size"])}
        return stores_just(checkpoint, {**body, **score}, {})
    return False


def answer_tensors(checkpoint: Checkpoint, *, is_tied: bool) -> list[str]:
    """Return the names of the stored tensors that hold the rows of answers."""
    names = _TIED_NAMES if is_tied else _UNTIED_NAMES
    return [name for name in names if name in checkpoint.tensors]
