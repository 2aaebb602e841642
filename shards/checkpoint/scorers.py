"""The scoring recipe of any checkpoint: a reranker, or what is served on purpose."""

from shards.checkpoint.bi_encoder import is_bi_encoder, read_bi_encoder
from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.late_interaction import MAXSIM, read_late, refuse_late
from shards.checkpoint.reading import read_reranker
from shards.recipe import Recipe
from shards.wire.spec import ShardSpec


def read_recipe(checkpoint: Checkpoint, spec: ShardSpec) -> Recipe:
    """Return the scoring recipe of a checkpoint, with the operator's choices in `spec`.

    Raises:
        Refusal: it cannot be served faithfully; the message names its kind.
    """
    if spec.scorer == MAXSIM:
        return read_late(checkpoint, spec)
    refuse_late(checkpoint)
    if is_bi_encoder(checkpoint, spec):
        return read_bi_encoder(checkpoint, spec)
    return read_reranker(checkpoint, spec.template)
