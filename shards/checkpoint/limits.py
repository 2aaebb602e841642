"""The most tokens of one pair: the least of the limits of tokenizer, positions and template."""

from shards.checkpoint.folder import Checkpoint
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

# These count positions from pad_token_id + 1, so 514 positions take 512 tokens.
_OFFSET_FAMILIES = frozenset(
    {
        *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm"),
        *("data2vec-text", "longformer", "mpnet", "xmod"),
    }
)


def longest_pair(
    spec: ShardSpec, checkpoint: Checkpoint, tokenizer_limit: int | None, default: int | None = None
) -> int:
    """Return the most tokens of one pair.

    Args:
        tokenizer_limit: the tokenizer's limit; `None` if it has none.
        default: the limit for a spec without one, where the checkpoint allows more.

    Raises:
        Refusal: the spec asks for more than the checkpoint allows, or there is no limit at all.
    """
    limits = [limit for limit in (tokenizer_limit, _positions(checkpoint)) if limit is not None]
    if not limits and not default and not spec.max_length:
        raise Refusal(
            f"{checkpoint.name} names no limit (max_position_embeddings, model_max_length): set "
            "`max_length`",
            ExitCode.SPEC,
        )
    if spec.max_length and limits and spec.max_length > min(limits):
        raise Refusal(
            f"max_length {spec.max_length} is over the limit of {checkpoint.name}, "
            f"{min(limits)} tokens: lower it",
            ExitCode.SPEC,
        )
    return spec.max_length or min([*limits, default] if default else limits)


def _positions(checkpoint: Checkpoint) -> int | None:
    positions = checkpoint.config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return None
    return positions - first_position(checkpoint)


def first_position(checkpoint: Checkpoint) -> int:
    """Return the position id of the first token."""
    if checkpoint.model_type in _OFFSET_FAMILIES:
        return int(checkpoint.config.get("pad_token_id", 1)) + 1
    return 0
