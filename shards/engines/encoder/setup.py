"""All of a cross-encoder but its model: what the engines for one share, whatever computes it."""

from dataclasses import dataclass

from shards.checkpoint import Checkpoint, expect_engine, first_position, longest_pair, read_recipe
from shards.engines.pair_setup import (
    PairTokenizers,
    pair_tokenizer,
    unused_instruction,
    unused_rows,
)
from shards.recipe import TRANSFORMERS, Recipe
from shards.refusal import Refusal
from shards.tokenize import LoadedTokenizer, PairTokenizer, load_tokenizer
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_UNKNOWN = "ꙮ 𐎀 𓀀"  # letters of hardly any vocabulary


@dataclass(frozen=True, slots=True)
class PairSetup:
    """The parts of a cross-encoder around its model.

    Attributes:
        recipe: how a pair becomes a margin.
        tokenizer: turns strings into the model's input.
        gives_types: whether it tells the two sides of a pair apart by token types.
        vocabulary_size: how many tokens the tokenizer can give.
        max_length: the most tokens of one pair.
        label_weights: what the logit of each label counts in the margin.
        doubts: warnings that concern the scores.
        warnings: other warnings.
    """

    recipe: Recipe
    tokenizer: PairTokenizers
    gives_types: bool
    vocabulary_size: int
    max_length: int
    label_weights: tuple[float, ...]
    doubts: tuple[str, ...]
    warnings: tuple[str, ...]


def pair_setup(spec: ShardSpec, checkpoint: Checkpoint, engine: str = "classifier") -> PairSetup:
    """Load what stands around the model of a checkpoint for one of these engines.

    Raises:
        Refusal: it is for another engine, or the tokenizer is not usable.
    """
    recipe = read_recipe(checkpoint, spec)
    expect_engine(recipe, checkpoint.name, engine)
    loaded = load_tokenizer(checkpoint.folder)
    vocabulary_size = loaded.backend.get_vocab_size()
    _expect_own_padding(checkpoint, loaded)
    max_length = longest_pair(spec, checkpoint, loaded.max_length, recipe.most_tokens)
    tokenizer = pair_tokenizer(spec, loaded, recipe, max_length)
    return PairSetup(
        recipe=recipe,
        tokenizer=tokenizer,
        gives_types=isinstance(tokenizer, PairTokenizer) and tokenizer.gives_types,
        vocabulary_size=vocabulary_size,
        max_length=max_length,
        label_weights=recipe.label_weights,
        doubts=recipe.warnings + tokenizer.warnings,
        warnings=unused_rows(checkpoint, vocabulary_size) + unused_instruction(spec, recipe),
    )


def _expect_own_padding(checkpoint: Checkpoint, loaded: LoadedTokenizer) -> None:
    """Refuse padding that is a token of texts, where positions are counted without padding."""
    if not first_position(checkpoint):
        return
    id = int(checkpoint.config.get("pad_token_id", 1))
    token, added = loaded.backend.id_to_token(id), loaded.backend.get_added_tokens_decoder()
    is_special = id in added and added[id].special
    if not is_special or id in loaded.ids(_UNKNOWN):
        raise Refusal(
            f"{checkpoint.name}: pad_token_id is {id} in its config.json, which is {token!r} in "
            "its tokenizer: a text may hold it, and would lose its position; correct the file"
        )


def expect_own_head(recipe: Recipe, name: str, engine: str) -> None:
    """Refuse a checkpoint that a graph cannot stand for: its head or its tensors are not usual."""
    if recipe.pooling != "own" or recipe.modules or recipe.layout != TRANSFORMERS:
        raise Refusal(
            f"{name} ({recipe.kind}) has no form for the engine {engine}: leave `engine` at auto",
            ExitCode.SPEC,
        )
