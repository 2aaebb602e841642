"""All of a cross-encoder but its model: what the engines for one share, whatever computes it."""

from dataclasses import dataclass

from shards.checkpoint import Checkpoint, longest_pair
from shards.encoder import PairEncoder, load_tokenizer
from shards.engines.labels import label_weights, labels_of
from shards.wire.spec import ShardSpec


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around the model of a cross-encoder.

    Attributes:
        encoder: turns strings into the model's input.
        vocabulary_size: how many tokens the tokenizer can give.
        max_length: the most tokens of one pair.
        label_weights: what the logit of each label counts in the margin.
        doubts: warnings that concern the scores.
    """

    encoder: PairEncoder
    vocabulary_size: int
    max_length: int
    label_weights: tuple[float, ...]
    doubts: tuple[str, ...]


def around(spec: ShardSpec, checkpoint: Checkpoint) -> Around:
    """Load what stands around the model of a checkpoint.

    Raises:
        Refusal: the tokenizer is not usable, or the labels are not those of a reranker.
    """
    tokenizer = load_tokenizer(checkpoint.folder)
    vocabulary_size = tokenizer.backend.get_vocab_size()
    max_length = longest_pair(spec, checkpoint, tokenizer.max_length)
    encoder = PairEncoder(
        tokenizer, max_length=max_length, guard_special_tokens=spec.guard_special_tokens
    )
    weights, label_warnings = label_weights(labels_of(checkpoint.config), checkpoint.name)
    return Around(
        encoder,
        vocabulary_size,
        max_length,
        weights,
        checkpoint.warnings + encoder.warnings + label_warnings,
    )
