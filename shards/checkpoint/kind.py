"""The kind of a checkpoint, by its class and name: reranker, embedder or plain language model."""

from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.unserved import refused_unknown
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode

# Decoders whose logits are exactly `head @ norm(h)`: no bias, no scaling, no soft cap on them.
DECODERS = frozenset(
    {"qwen2", "qwen3", "llama", "mistral", "ministral", "gemma", "phi3", "olmo2", "smollm3"}
)

# Classes that transformers has; its import, only to look them up, would take a second.
_KNOWN = {"qwen3": ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification")}

# The vocabulary of plain language models; rerankers made from them have another.
_PLAIN_ROWS = {"qwen3": 151_936}

_EXPECTED = (
    "a reranker is a *ForCausalLM or *ForSequenceClassification checkpoint that was trained to "
    "rank: use one, for example Qwen/Qwen3-Reranker-0.6B"
)


def refuse_embedder(checkpoint: Checkpoint) -> None:
    """Refuse a language model that is called an embedder."""
    names = checkpoint.own_names.lower()
    if (
        checkpoint.architecture.endswith("ForCausalLM")
        and "embedding" in names
        and "rerank" not in names
    ):
        raise Refusal(f"{checkpoint.name} is an embedder (it is called one); {_EXPECTED}")


def refuse_plain_model(checkpoint: Checkpoint) -> None:
    """Refuse a language model that answers, but was never trained to rank."""
    rows = checkpoint.config.get("vocab_size")
    if rows == _PLAIN_ROWS.get(checkpoint.model_type):
        raise Refusal(
            f"{checkpoint.name} looks like a plain language model: a vocabulary of {rows}, and no "
            f"reranker in its name or chat template; {_EXPECTED}. If it was trained with a prompt "
            "of ours, name that in `template`",
            ExitCode.SPEC,
        )


def expect_class(checkpoint: Checkpoint) -> None:
    """Refuse an architecture that transformers does not have itself, or that is no reranker's."""
    architecture, model_type = checkpoint.architecture, checkpoint.model_type
    if not architecture:
        raise Refusal(f"{checkpoint.name} names no architecture in its config.json; {_EXPECTED}")
    if architecture in _KNOWN.get(model_type, ()):
        return
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )

    for names in (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    ):
        if names.get(model_type) == architecture:
            return
    raise refused_unknown(checkpoint.name, checkpoint.config, architecture)
