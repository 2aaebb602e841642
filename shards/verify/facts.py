"""What a checkpoint turned out to be, and where each of it comes from."""

from collections.abc import Iterator

from shards.checkpoint import Checkpoint
from shards.encoder import TEMPLATES, CausalEncoder, Template
from shards.engines.base import Engine
from shards.wire.spec import ShardSpec

_TIED = ("model.embed_tokens.weight", "embed_tokens.weight")


def load_facts(
    spec: ShardSpec, checkpoint: Checkpoint, engine: Engine, template: Template | None
) -> dict[str, str]:
    """Return what was loaded, name by name, in the order in which it is shown.

    Args:
        template: the prompt; `None` for a cross-encoder.
    """
    return dict(_facts(spec, checkpoint, engine, template))


def _facts(
    spec: ShardSpec, checkpoint: Checkpoint, engine: Engine, template: Template | None
) -> Iterator[tuple[str, str]]:
    facts, config = engine.facts, checkpoint.config
    layers, hidden = config.get("num_hidden_layers", "?"), config.get("hidden_size", "?")
    yield "source", str(checkpoint.folder)
    yield "architecture", f"{checkpoint.architecture}, {layers} layers of {hidden}"
    yield "head", head(checkpoint)
    if template is not None and isinstance(engine.encoder, CausalEncoder):
        yes, no = engine.encoder.yes_id, engine.encoder.no_id
        yield "answers", f"{template.yes!r} is token {yes}, {template.no!r} is token {no}"
        name = next(name for name, one in TEMPLATES.items() if one is template)
        chosen = "from its model type and name" if spec.template == "auto" else "as configured"
        yield "template", f"{name}, {chosen}"
        yield "instruction", spec.instruction or template.instruction or "none"
    yield "activation", f"{checkpoint.activation}, {checkpoint.activation_origin}"
    yield "max length", f"{facts.max_length} tokens"
    yield "engine", f"{facts.engine}, {facts.dtype} on {facts.device}"
    yield "languages", ", ".join(facts.languages) or "it does not say"
    if facts.warnings:
        yield "warnings", "; ".join(facts.warnings)


def head(checkpoint: Checkpoint) -> str:
    """Say which tensor the scores come from."""
    names = checkpoint.tensors
    if checkpoint.architecture.endswith("ForCausalLM"):
        if checkpoint.config.get("tie_word_embeddings"):
            stored = next((name for name in (*_TIED, "lm_head.weight") if name in names), "?")
            return f"{stored}, tied to the embeddings"
        return "lm_head.weight, not tied"
    heads = [
        name
        for name in sorted(names)
        if name.startswith(("classifier", "score")) or name.endswith(".onnx")
    ]
    labels = max(1, len(checkpoint.config.get("id2label") or {}))
    return f"{', '.join(heads) or '?'}; {labels} label{'s' if labels > 1 else ''}"
