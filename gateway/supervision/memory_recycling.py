"""Memory recycling: shards that have grown too large are replaced, one at a time.

A shard over `max_shard_memory_mb` finishes its jobs and is started anew while its siblings serve.
The requests of a lone shard wait for its next generation. No request fails. A model that takes as
much when it is newly loaded is left alone, with a warning: it would be replaced for ever.
"""

import asyncio
from collections.abc import Callable, Sequence

from gateway.supervision.lifecycle import State
from gateway.supervision.supervisor import Supervisor

_LOOK_SECONDS = 1.0
_MIB = 1024 * 1024


async def recycle(shards: Sequence[Supervisor], limit_mb: Callable[[], int]) -> None:
    """Replace the shards of a model whenever they are too large, until cancelled.

    Args:
        shards: all shards of the model.
        limit_mb: returns the present limit, in MiB; 0 for none.
    """
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if (limit := limit_mb()) and (shard := due(shards, limit)):
            shard.log.info(
                "shard is started anew: it takes %d MiB, %d are allowed (max_shard_memory_mb)",
                shard.memory_bytes // _MIB,
                limit,
            )
            shard.recycle()


def due(shards: Sequence[Supervisor], limit_mb: int) -> Supervisor | None:
    """Return the shard to replace now: the largest that is too large, when all others are ready."""
    if any(shard.state is not State.READY for shard in shards):
        return None
    grown = [
        shard
        for shard in shards
        if is_too_large(shard.memory_bytes, limit_mb) and can_shrink(shard, limit_mb)
    ]
    return max(grown, key=lambda shard: shard.memory_bytes, default=None)


def is_too_large(memory_bytes: int, limit_mb: int) -> bool:
    return memory_bytes > limit_mb * _MIB


def can_shrink(shard: Supervisor, limit_mb: int) -> bool:
    """Return whether the shard was within the limit when it was new."""
    return not is_too_large(shard.first_memory_bytes, limit_mb)
