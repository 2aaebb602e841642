"""Where a spawned process enters. The gateway names this function without importing a shard."""

from importlib import import_module

from shards.wire.spec import ShardSpec


def run(spec: ShardSpec, socket_fd: int, arena_fd: int, gateway_pid: int) -> None:
    """Become the shard that `spec` describes, on these descriptors."""
    import_module("shards.worker").main(spec, socket_fd, arena_fd, gateway_pid)


def verify(spec: ShardSpec, fd: int, pairs: int, parent_pid: int) -> None:
    """Examine the model that `spec` describes, and write what is found to this descriptor."""
    import_module("shards.verify.run").main(spec, fd, pairs, parent_pid)
