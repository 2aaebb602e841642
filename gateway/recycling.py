"""Shards that have grown too large are replaced, one at a time.

A shard over `max_shard_memory_mb` finishes what it has and is started anew, while its siblings serve; a
lone one's requests wait for its next generation. Nobody is failed by it. A model that takes as much
when it is only just loaded is left alone, and says so: it would be replaced for ever.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.lifecycle import State
from gateway.supervisor import Supervisor

_LOOK_SECONDS = 1.0
_MIB = 1024 * 1024
_logger = logging.getLogger(__name__)


async def recycle(shards: Sequence[Supervisor], limit_mb: Callable[[], int]) -> None:
    """Replace the shards of a model whenever they are too large, until cancelled; 0 for no limit."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if (limit := limit_mb()) and (shard := due(shards, limit)):
            _logger.info(
                "shard %s is started anew: it takes %d MiB, %d are allowed (max_shard_memory_mb)",
                shard.spec.name,
                shard.memory_bytes // _MIB,
                limit,
            )
            shard.recycle()


def due(shards: Sequence[Supervisor], limit_mb: int) -> Supervisor | None:
    """Return the shard to replace now: the largest that is too large, when all others are ready."""
    if any(one.state is not State.READY for one in shards):
        return None
    grown = [
        one
        for one in shards
        if is_too_large(one.memory_bytes, limit_mb) and can_shrink(one, limit_mb)
    ]
    return max(grown, key=lambda one: one.memory_bytes, default=None)


def is_too_large(memory_bytes: int, limit_mb: int) -> bool:
    return memory_bytes > limit_mb * _MIB


def can_shrink(shard: Supervisor, limit_mb: int) -> bool:
    """Whether it was within the limit when it was new."""
    return not is_too_large(shard.first_memory_bytes, limit_mb)
