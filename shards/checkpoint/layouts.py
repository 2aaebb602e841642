"""Checkpoints whose own code names or joins tensors otherwise than transformers, or adds to it.

The code of such a checkpoint is never run: `shards.engines.encoder.layouts` has the arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shards.checkpoint.expect import File
from shards.recipe import BIDIRECTIONAL, GTE, JINA_BERT, JINA_FLASH


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout of our own.

    Attributes:
        name: one of the names above.
        keys: the keys of config.json that the arithmetic honours or checks.
        template: the prompt that goes with the layout; empty for pairs.
    """

    name: str
    keys: tuple[str, ...]
    template: str = ""

    def pooling(self, config: File) -> str:
        """Return the pooling that config.json names; empty where the layout has a fixed one."""
        if self.name != BIDIRECTIONAL:
            return ""
        names = {"avg": "mean", "cls": "cls", "last": "lasttoken", "weighted_avg": "weightedmean"}
        return names[config.choice("pooling", names, "avg")]


_GTE_ONLY = {
    "position_embedding_type": ("rope",),
    "pack_qkv": (True,),
    "layer_norm_type": ("layer_norm",),
    "logn_attention_scale": (False,),
    "logn_attention_clip1": (False,),
}
_LAYOUTS = {
    GTE: Layout(
        GTE,
        (
            *_GTE_ONLY,
            *("rope_theta", "rope_scaling", "hidden_act", "layer_norm_eps", "pad_token_id"),
            *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
            *("max_position_embeddings", "type_vocab_size", "vocab_size", "tie_word_embeddings"),
        ),
    ),
    JINA_FLASH: Layout(
        JINA_FLASH,
        (
            *("hidden_act", "layer_norm_eps", "pad_token_id", "hidden_size", "vocab_size"),
            *("num_hidden_layers", "num_attention_heads", "intermediate_size", "type_vocab_size"),
            *("max_position_embeddings", "position_embedding_type", "tie_word_embeddings"),
            *("is_decoder", "add_cross_attention", "use_bias"),
        ),
    ),
    JINA_BERT: Layout(
        JINA_BERT,
        (
            *("hidden_act", "layer_norm_eps", "pad_token_id", "hidden_size", "vocab_size"),
            *("num_hidden_layers", "num_attention_heads", "intermediate_size", "type_vocab_size"),
            *("max_position_embeddings", "position_embedding_type", "feed_forward_type"),
            *("emb_pooler", "tie_word_embeddings", "is_decoder", "add_cross_attention"),
            "model_max_length",
        ),
    ),
    BIDIRECTIONAL: Layout(
        BIDIRECTIONAL,
        (
            *("attention_bias", "head_dim", "hidden_act", "hidden_size", "intermediate_size"),
            *("max_position_embeddings", "mlp_bias", "num_attention_heads", "num_hidden_layers"),
            *("num_key_value_heads", "pad_token_id", "rms_norm_eps", "rope_parameters"),
            *("tie_word_embeddings", "vocab_size", "pooling", "temperature"),
        ),
        template="nemotron-rerank",
    ),
}


def layout_for(config: File, stored: Mapping[str, Sequence[int]]) -> Layout | None:
    """Return the layout of our own that a checkpoint has; `None` for that of transformers.

    Args:
        stored: the shape of each tensor.

    Raises:
        Refusal: a key asks for a feature that the layout's arithmetic lacks.
    """
    name = _name(config, stored)
    if name == GTE:
        for key, served in _GTE_ONLY.items():
            if key in config and config.content[key] not in served:
                raise config.refuse(key, f"one of {served}")
    if name == JINA_BERT:
        config.choice("position_embedding_type", ("alibi",), "")
        config.choice("feed_forward_type", ("geglu", "reglu"), "")
        if config.content.get("emb_pooler"):
            raise config.refuse("emb_pooler", "null")
    if name in (JINA_FLASH, JINA_BERT) and config.flag("is_decoder", usual=False):
        raise config.refuse("is_decoder", "false")
    return _LAYOUTS.get(name)


def _name(config: File, stored: Mapping[str, Sequence[int]]) -> str:
    names = config.content.get("architectures") or [""]
    architecture, model_type = str(names[0]), config.text("model_type")
    if not architecture.endswith("ForSequenceClassification"):
        return ""
    if model_type == "new" and architecture == "NewForSequenceClassification":
        return GTE
    if architecture.startswith("XLMRoberta") and _has(stored, ".mixer.Wqkv.weight"):
        return JINA_FLASH
    if "Bert" in architecture and _has(stored, ".mlp.gated_layers.weight"):
        return JINA_BERT
    if architecture == "LlamaBidirectionalForSequenceClassification":
        return BIDIRECTIONAL
    return ""


def _has(stored: Mapping[str, Sequence[int]], ending: str) -> bool:
    return any(name.endswith(ending) for name in stored)
