"""Which engine a checkpoint is for, told from its architecture; embedders are told apart.

A seq-cls conversion of a decoder (`Qwen3ForSequenceClassification`) still wants the prompt, so it
belongs to the causal engine. Qwen3-Reranker and Qwen3-Embedding have the same architecture: there
`modules.json` decides.
"""

import json

from shards.checkpoint.folder import Checkpoint, open_checkpoint
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

# Decoders whose logits are exactly `head @ norm(h)`: no bias, no scaling, no soft cap on them.
DECODERS = frozenset(
    {"qwen2", "qwen3", "llama", "mistral", "ministral", "gemma", "phi3", "olmo2", "smollm3"}
)

# Of transformers' own, for certain: importing it to look takes a second.
_KNOWN = {"qwen3": ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification")}

# The vocabulary of plain language models, where rerankers made from them have another.
_PLAIN_ROWS = {"qwen3": 151_936}
_ASKED = "Judge whether the Document"  # in the chat template of a Qwen3-Reranker

_EXPECTED = (
    "a reranker is a *ForCausalLM or *ForSequenceClassification checkpoint that was trained to rank: "
    "use one, for example Qwen/Qwen3-Reranker-0.6B"
)


def engine_name(spec: ShardSpec, report: Report) -> str:
    """Return the engine that fits the spec's checkpoint."""
    checkpoint = open_checkpoint(spec, report)
    engine = _engine_of(checkpoint)
    if spec.template == "auto" and engine == "causal":
        _refuse_plain_model(checkpoint)
    return engine


def expect_engine(checkpoint: Checkpoint, engine: str) -> None:
    """Refuse a checkpoint that is not for this engine."""
    fitting = _engine_of(checkpoint)
    if fitting != engine:
        raise Refusal(
            f"{checkpoint.name} ({checkpoint.architecture}) is for the engine {fitting!r}, not "
            f"{engine!r}; leave `engine` at auto",
            ExitCode.SPEC,
        )


def _engine_of(checkpoint: Checkpoint) -> str:
    architecture = checkpoint.architecture
    is_causal = architecture.endswith("ForCausalLM")
    if not is_causal and not architecture.endswith("ForSequenceClassification"):
        raise Refusal(_not_a_reranker(checkpoint))
    if is_causal and (why := _why_embedder(checkpoint)):
        raise Refusal(f"{checkpoint.name} is an embedder ({why}); {_EXPECTED}")
    _refuse_foreign_code(checkpoint)
    if is_causal and checkpoint.model_type not in DECODERS:
        raise Refusal(
            f"{checkpoint.name} is a {architecture}; yes/no scoring is known for decoders of model "
            f"type {', '.join(sorted(DECODERS))}"
        )
    return "causal" if checkpoint.model_type in DECODERS else "classifier"


def _not_a_reranker(checkpoint: Checkpoint) -> str:
    architecture = checkpoint.architecture
    if not architecture:
        return f"{checkpoint.name} names no architecture in its config.json; {_EXPECTED}"
    what = "an embedder or a bare body" if architecture.endswith("Model") else "no reranker"
    return f"{checkpoint.name} is {what} ({architecture}); {_EXPECTED}"


def _own_names(checkpoint: Checkpoint) -> str:
    """Return what the checkpoint itself is called, without the folders above it."""
    return " ".join(name.rstrip("/").rpartition("/")[2] for name in checkpoint.full_name.split())


def _why_embedder(checkpoint: Checkpoint) -> str:
    """Say why a checkpoint must be an embedder; empty if nothing says so."""
    names = _own_names(checkpoint).lower()
    if "embedding" in names and "rerank" not in names:
        return "it is called one"
    return "modules.json pools tokens" if _pools(checkpoint) else ""


def _refuse_plain_model(checkpoint: Checkpoint) -> None:
    """Refuse a language model that answers, but was never trained to rank."""
    rows = checkpoint.config.get("vocab_size")
    if not checkpoint.architecture.endswith("ForCausalLM") or rows != _PLAIN_ROWS.get(
        checkpoint.model_type
    ):
        return
    if "rerank" in _own_names(checkpoint).lower() or _asks(checkpoint):
        return
    raise Refusal(
        f"{checkpoint.name} looks like a plain language model: a vocabulary of {rows}, and no "
        f"reranker in its name or chat template; {_EXPECTED}. If it was trained with a prompt of "
        "ours, name that in `template`",
        ExitCode.SPEC,
    )


def _asks(checkpoint: Checkpoint) -> bool:
    """Whether the chat template holds a reranker's question."""
    paths = (checkpoint.folder / name for name in ("chat_template.jinja", "tokenizer_config.json"))
    return any(_ASKED in path.read_text(encoding="utf-8") for path in paths if path.is_file())


def _pools(checkpoint: Checkpoint) -> bool:
    path = checkpoint.folder / "modules.json"
    if not path.is_file():
        return False
    try:
        modules = [str(module["type"]) for module in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError):
        raise Refusal(f"{path} is not a list of modules; download the checkpoint again") from None
    pools = any(module.endswith("Pooling") for module in modules)
    return pools and not any(module.endswith("LogitScore") for module in modules)


def _refuse_foreign_code(checkpoint: Checkpoint) -> None:
    """Refuse an architecture that transformers does not have itself."""
    if checkpoint.architecture in _KNOWN.get(checkpoint.model_type, ()):
        return
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )

    for names in (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    ):
        if names.get(checkpoint.model_type) == checkpoint.architecture:
            return
    brings = "brings its own code (auto_map)" if "auto_map" in checkpoint.config else "is new to it"
    raise Refusal(
        f"{checkpoint.name} is a {checkpoint.architecture} (model_type "
        f"{checkpoint.model_type!r}), which transformers does not know; it {brings}, and code from "
        "a checkpoint is never run: use a checkpoint of an architecture in transformers"
    )
