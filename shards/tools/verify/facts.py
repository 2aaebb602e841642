"""The facts of a loaded checkpoint, each with its source."""

from collections.abc import Iterator

from shards.checkpoint import Checkpoint, read_recipe
from shards.engines.base import Engine
from shards.prompts import Answers, Prompt
from shards.recipe import Recipe
from shards.tokenize import LoadedTokenizer, answer_ids, load_tokenizer
from shards.wire.spec import ShardSpec

_TIED = ("model.embed_tokens.weight", "embed_tokens.weight")


def load_facts(spec: ShardSpec, checkpoint: Checkpoint, engine: Engine) -> dict[str, str]:
    """Return the facts of the loaded model by name, in the order in which they are shown."""
    return dict(_facts(spec, checkpoint, engine, read_recipe(checkpoint, spec)))


def _facts(
    spec: ShardSpec, checkpoint: Checkpoint, engine: Engine, recipe: Recipe
) -> Iterator[tuple[str, str]]:
    facts, config = engine.facts, checkpoint.config
    layers, hidden = config.get("num_hidden_layers", "?"), config.get("hidden_size", "?")
    yield "source", str(checkpoint.folder)
    yield "architecture", f"{checkpoint.architecture}, {layers} layers of {hidden}"
    yield "scored as", recipe.kind
    if checkpoint.quantised.summary:
        yield "weights", checkpoint.quantised.summary
    if recipe.similarity is None and recipe.late is None:
        yield "head", head(checkpoint)
    if recipe.answers:
        yield "answers", _answers(load_tokenizer(checkpoint.folder), recipe.answers)
    if recipe.prompt is not None:
        how = "as configured" if spec.template != "auto" else "; ".join(recipe.notes) or "its own"
        yield "template", f"{recipe.prompt.name}, {how}"
        yield "instruction", _instruction(spec, recipe.prompt)
    elif recipe.similarity is not None or recipe.late is not None:
        yield "prompts", recipe.notes[0]
        yield "margin", recipe.notes[1]
    elif recipe.before_query:
        yield "before the query", repr(recipe.before_query)
    yield "activation", f"{recipe.activation}, {recipe.activation_origin}"
    yield "max length", f"{facts.max_length} tokens"
    yield "engine", f"{facts.engine}, {facts.dtype} on {facts.device}"
    yield "languages", ", ".join(facts.languages) or "it does not say"
    if facts.warnings:
        yield "warnings", "; ".join(facts.warnings)


def _answers(tokenizer: LoadedTokenizer, answers: Answers) -> str:
    ids = answer_ids(tokenizer, answers)
    words = (answers.true, answers.false)
    tokens = [
        f"{word!r} is token {id}" for word, id in zip(words, ids, strict=True) if id is not None
    ]
    return ", ".join(tokens)


def _instruction(spec: ShardSpec, prompt: Prompt) -> str:
    if not prompt.takes_instruction:
        return "no place for one"
    return spec.instruction or prompt.instruction or "none"


def head(checkpoint: Checkpoint) -> str:
    """Return the name of the tensor that the scores come from."""
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
