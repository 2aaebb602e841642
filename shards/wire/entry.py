"""Where a spawned process enters. The gateway names this function without importing a shard."""

from importlib import import_module

from shards.wire.spec import ShardSpec


def run(spec: ShardSpec, socket_fd: int, arena_fd: int, gateway_pid: int) -> None:
    """Become the shard that `spec` describes, on these descriptors."""
    import_module("shards.worker").main(spec, socket_fd, arena_fd, gateway_pid)
