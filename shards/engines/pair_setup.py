"""The parts of an engine around its model: the tokenizer, and the most tokens of a pair."""

from shards.checkpoint import Checkpoint, longest_pair
from shards.machine.memory import free_bytes
from shards.recipe import Recipe
from shards.tokenize import (
    ApartTokenizer,
    CausalTokenizer,
    LateTokenizer,
    LoadedTokenizer,
    PairTokenizer,
)
from shards.wire.spec import ShardSpec

PairTokenizers = ApartTokenizer | CausalTokenizer | LateTokenizer | PairTokenizer

_LEAST_LENGTH = 8192  # however little memory is free
_SHARE = 0.5  # of free memory, for the states of one pair
_FEW_ROWS = 0.5  # of the embeddings


def pair_tokenizer(
    spec: ShardSpec,
    tokenizer: LoadedTokenizer,
    recipe: Recipe,
    max_length: int,
    *,
    shares_prefixes: bool = False,
) -> PairTokenizers:
    """Return what turns strings into the ids of pairs, as a recipe has it."""
    if recipe.late is not None:
        return LateTokenizer(
            tokenizer,
            recipe.late,
            max_length=max_length,
            guard_special_tokens=spec.guard_special_tokens,
        )
    if recipe.similarity is not None:
        return ApartTokenizer(
            tokenizer,
            recipe.similarity,
            max_length=max_length,
            instruction=spec.instruction if recipe.takes_instruction else "",
            guard_special_tokens=spec.guard_special_tokens,
        )
    if recipe.prompt is None:
        return PairTokenizer(
            tokenizer,
            max_length=max_length,
            guard_special_tokens=spec.guard_special_tokens,
            before_query=recipe.before_query,
            is_bordered=recipe.has_segments,
            shares_prefixes=shares_prefixes,
        )
    return CausalTokenizer(
        tokenizer,
        recipe.prompt,
        max_length=max_length,
        instruction=spec.instruction if recipe.takes_instruction else "",
        guard_special_tokens=spec.guard_special_tokens,
        shares_prefixes=shares_prefixes,
    )


def fitting_length(
    spec: ShardSpec, checkpoint: Checkpoint, tokenizer_limit: int | None, recipe: Recipe
) -> tuple[int, tuple[str, ...]]:
    """Return the most tokens of a decoder's pair, and notes on it.

    The checkpoint's own limit counts, which may be 40,960 tokens, unless the states of such a pair
    would take more than half of the memory that is free.
    """
    own = longest_pair(spec, checkpoint, tokenizer_limit, recipe.most_tokens)
    if spec.max_length:
        return own, ()
    hidden, inner = checkpoint.sizes
    token_bytes = 4 * (12 * hidden + inner)
    length, free = own, free_bytes()
    while length > _LEAST_LENGTH and length * token_bytes > _SHARE * free > 0:
        length = max(_LEAST_LENGTH, length // 2)
    if length == own:
        return own, (f"max_length {own}, the checkpoint's own",)
    return length, (
        f"max_length {length}, for {free / 1e9:.1f} GB of memory are free; the checkpoint's own is "
        f"{own}: set `max_length` to have it",
    )


def unused_rows(checkpoint: Checkpoint, vocabulary_size: int) -> tuple[str, ...]:
    """Warn of a tokenizer that knows few of the tokens that the model has states for."""
    rows = checkpoint.config.get("vocab_size")
    if not isinstance(rows, int) or vocabulary_size >= _FEW_ROWS * rows:
        return ()
    return (
        f"the tokenizer has {vocabulary_size} tokens and the model {rows}: they may not belong "
        "together",
    )


def unused_instruction(spec: ShardSpec, recipe: Recipe) -> tuple[str, ...]:
    """Warn of an instruction in the configuration that the model has no place for."""
    if not spec.instruction or recipe.takes_instruction:
        return ()
    return ("`instruction` is set, and the model has no place for one: it is not used",)
