"""Both ends of a pipe in one process."""

import os

from shards.wire.pipe import GatewayEnd, ShardEnd


def shard_end(gateway: GatewayEnd, generation: int) -> ShardEnd:
    """Return the shard's end, as a spawned process would get it."""
    socket_fd, arena_fd = (os.dup(fd) for fd in gateway.shard_descriptors)
    end = ShardEnd(socket_fd, arena_fd, generation)
    gateway.handed_over()
    return end
