"""The model families that are read from GGUF: their tensors' names and their config.json.

llama.cpp's converter gives every family the same names for tensors (`blk.0.attn_q.weight`), drops
what its graph does not compute, and writes sizes as keys (`qwen3.block_count`). A tensor or a key
that is not in these tables may change scores, so it is refused.
Source: llama.cpp (`conversion/qwen.py`, `conversion/bert.py`, `gguf-py/gguf/tensor_mapping.py`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.gguf import BEFORE
from shards.refusal import Refusal
from shards.wire.gguf_file import GgufHead

_LAYER = re.compile(r"^blk\.(\d+)\.(.+)$")
_RANK = 4
_POOLINGS = {0: "none", 1: "mean", 2: "cls", 3: "last", _RANK: "rank"}
_EMBEDDER = "use a GGUF file of a reranker, or the embedder's own checkpoint"


@dataclass(frozen=True, slots=True)
class Gguf:
    """A GGUF file that is being read.

    Attributes:
        path: the file.
        head: its head.
        sizes: the keys of its family, without the family's name.
    """

    path: Path
    head: GgufHead
    sizes: File

    def count(self, key: str, usual: int | None = None) -> int:
        """Return a whole number that must be there, unless there is a usual one."""
        found = self.sizes.count(key)
        if found is None and usual is None:
            raise self.refuse(f"it has no {key}")
        return found if found is not None else usual or 0

    def rows(self, name: str) -> int:
        """Return the rows of a matrix that must be there."""
        tensor = self.head.tensors.get(name)
        if tensor is None or len(tensor.shape) != 2:
            raise self.refuse(f"it has no matrix {name}")
        return tensor.shape[0]

    def refuse(self, why: str) -> Refusal:
        """Return a refusal of the file."""
        return Refusal(f"{self.path} cannot be served: {why}")


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    Attributes:
        names: our names of tensors outside layers, by GGUF's without `.weight`.
        layer: the same inside layers.
        before_layers: what stands before the number of a layer.
        kinds: `weight`, and `bias` if layers have some.
        keys: the keys that are known, without those of `_SIZES`.
        config: returns the config.json of a file.
    """

    names: Mapping[str, str]
    layer: Mapping[str, str]
    before_layers: str
    kinds: tuple[str, ...]
    keys: frozenset[str]
    config: Callable[[Gguf], dict[str, Any]]

    def name(self, gguf_name: str) -> str | None:
        """Return our name of a tensor; `None` for one that the family does not have."""
        part, _, kind = gguf_name.rpartition(".")
        if kind not in self.kinds:
            return None
        if found := _LAYER.match(part):
            inner = self.layer.get(found[2])
            return inner and f"{self.before_layers}{found[1]}.{inner}.{kind}"
        outer = self.names.get(part)
        return outer and f"{outer}.{kind}"


_SIZES = frozenset(
    {
        *("block_count", "context_length", "embedding_length", "feed_forward_length"),
        *("attention.head_count", "attention.causal", "vocab_size", "pooling_type"),
        "classifier.output_labels",
    }
)


def family_of(gguf: Gguf) -> Family:
    """Return the family of a file, which must be one of those that are read."""
    keys = gguf.head.keys
    kind, architecture = keys.get("general.type", "model"), keys.get("general.architecture")
    if kind == "mmproj" or architecture == "clip":
        raise gguf.refuse("it has the vision part of a model alone: name the file of the model")
    if kind != "model":
        raise gguf.refuse(f"it is of the type {kind!r}, a whole model is expected")
    if not isinstance(architecture, str) or architecture not in FAMILIES:
        raise gguf.refuse(
            f"its architecture is {architecture!r}, and {' and '.join(sorted(FAMILIES))} are read "
            "from GGUF: give the safetensors checkpoint"
        )
    family = FAMILIES[architecture]
    gguf.sizes.expect_keys(_SIZES | family.keys)
    for name in gguf.head.tensors:
        if not family.name(name):
            raise gguf.refuse(f"{name} is no tensor of a {architecture} reranker that is known")
    return family


def opened(path: Path, head: GgufHead) -> Gguf:
    """Return a file with the keys of its family."""
    start = f"{head.keys.get('general.architecture')}."
    found = {key: value for key, value in head.keys.items() if key.startswith(start)}
    found |= {key: head.list(key) for key in head.lists if key.startswith(start)}
    return Gguf(path, head, File(str(path), {key[len(start) :]: found[key] for key in found}))


def _sizes(gguf: Gguf) -> dict[str, Any]:
    """Return the sizes that all families have."""
    return {
        "hidden_size": gguf.count("embedding_length"),
        "intermediate_size": gguf.count("feed_forward_length"),
        "num_hidden_layers": gguf.count("block_count"),
        "num_attention_heads": gguf.count("attention.head_count"),
        "vocab_size": gguf.rows("token_embd.weight"),
    }


def _labels(gguf: Gguf, head: str) -> dict[str, Any]:
    """Return the labels of a head, which GGUF names where they have names."""
    rows = gguf.rows(head)
    labels = gguf.sizes.content.get("classifier.output_labels") or []
    if len(labels) != rows and (labels or rows > 1):
        raise gguf.refuse(f"{head} has {rows} rows, and the file names {len(labels)} labels")
    names = labels or ["LABEL_0"]
    return {"id2label": dict(enumerate(names)), "num_labels": rows}


def _expect_reranker(gguf: Gguf, *, is_causal: bool) -> None:
    """Refuse an embedder, whose head does not compare, and a head of another kind."""
    pooling = gguf.sizes.count("pooling_type", least=0)
    has_head = "cls.output.weight" in gguf.head.tensors
    if gguf.sizes.flag("attention.causal", usual=is_causal) != is_causal:
        raise gguf.refuse(f"attention.causal is {not is_causal}, {is_causal} is expected")
    if not has_head and pooling == _RANK:
        raise gguf.refuse("it pools for ranking, but has no cls.output.weight: convert it anew")
    if not has_head and (pooling or not is_causal):
        named = f", pooling {_POOLINGS.get(pooling, pooling)}" if pooling is not None else ""
        raise gguf.refuse(f"it is an embedder (no cls.output.weight{named}): {_EMBEDDER}")


# -- Qwen3 -----------------------------------------------------------------------------------------


def _qwen3(gguf: Gguf) -> dict[str, Any]:
    _expect_reranker(gguf, is_causal=True)
    sizes = _sizes(gguf)
    heads = sizes["num_attention_heads"]
    head_dim = gguf.count("attention.key_length", sizes["hidden_size"] // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if gguf.count(key, head_dim) != head_dim:
            raise gguf.sizes.refuse(key, str(head_dim))
    is_classifier = "cls.output.weight" in gguf.head.tensors
    is_tied = "output.weight" not in gguf.head.tensors
    if is_classifier and not is_tied:
        raise gguf.refuse("it has both cls.output.weight and output.weight: which is its head?")
    kind = "SequenceClassification" if is_classifier else "CausalLM"
    return sizes | {
        "architectures": [f"Qwen3For{kind}"],
        "model_type": "qwen3",
        "head_dim": head_dim,
        "num_key_value_heads": gguf.count("attention.head_count_kv", heads),
        "max_position_embeddings": gguf.count("context_length"),
        "rope_theta": gguf.sizes.number("rope.freq_base", 10_000.0),
        "rms_norm_eps": gguf.sizes.number("attention.layer_norm_rms_epsilon", 1e-6),
        "hidden_act": "silu",
        "attention_bias": False,
        "use_sliding_window": False,
        "tie_word_embeddings": is_tied,
        **(_labels(gguf, "cls.output.weight") if is_classifier else {}),
    }


_QWEN3 = Family(
    names={
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
        "cls.output": "score",
    },
    layer={
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    },
    before_layers="model.layers.",
    kinds=("weight",),
    keys=frozenset(
        {
            *("attention.head_count_kv", "attention.key_length", "attention.value_length"),
            *("attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_count"),
        }
    ),
    config=_qwen3,
)

# -- XLM-RoBERTa -----------------------------------------------------------------------------------

_PADDING = 1
_POSITIONS = "roberta.embeddings.position_embeddings.weight"


def _bert(gguf: Gguf) -> dict[str, Any]:
    _expect_reranker(gguf, is_causal=False)
    vocabulary = gguf.head.keys.get("tokenizer.ggml.model")
    if vocabulary == "bert":
        raise gguf.refuse(
            "llama.cpp's converter leaves out the pooler of BERT classifiers, so the file cannot "
            "give the model's scores: give the safetensors checkpoint"
        )
    if vocabulary != "t5":
        raise gguf.refuse(
            f"it is a BERT with a vocabulary of the kind {vocabulary!r}, and of these only "
            "XLM-RoBERTa ('t5') is read from GGUF: give the safetensors checkpoint"
        )
    before = _PADDING + 1  # the converter drops the rows of positions that no token has
    return _sizes(gguf) | {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        "max_position_embeddings": gguf.rows("position_embd.weight") + before,
        "type_vocab_size": gguf.rows("token_types.weight"),
        "layer_norm_eps": gguf.sizes.number("attention.layer_norm_epsilon", 1e-5),
        "hidden_act": "gelu",
        "pad_token_id": _PADDING,
        "quantization_config": {BEFORE: {_POSITIONS: before}},
        **_labels(gguf, "cls.output.weight"),
    }


_BERT = Family(
    names={
        "token_embd": "roberta.embeddings.word_embeddings",
        "position_embd": "roberta.embeddings.position_embeddings",
        "token_types": "roberta.embeddings.token_type_embeddings",
        "token_embd_norm": "roberta.embeddings.LayerNorm",
        "cls": "classifier.dense",
        "cls.output": "classifier.out_proj",
    },
    layer={
        "attn_q": "attention.self.query",
        "attn_k": "attention.self.key",
        "attn_v": "attention.self.value",
        "attn_output": "attention.output.dense",
        "attn_output_norm": "attention.output.LayerNorm",
        "ffn_up": "intermediate.dense",
        "ffn_down": "output.dense",
        "layer_output_norm": "output.LayerNorm",
    },
    before_layers="roberta.encoder.layer.",
    kinds=("weight", "bias"),
    keys=frozenset({"attention.layer_norm_epsilon"}),
    config=_bert,
)

FAMILIES: Mapping[str, Family] = {"bert": _BERT, "qwen3": _QWEN3}
"""The families that are read, by `general.architecture`."""
