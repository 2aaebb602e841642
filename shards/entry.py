"""Entry points of spawned processes. The gateway names these functions and imports no shard."""

from importlib import import_module

from shards.wire.spec import ShardSpec


def run(spec: ShardSpec, socket_fd: int, arena_fd: int, gateway_pid: int) -> None:
    """Become the shard that `spec` describes, on these descriptors."""
    import_module("shards.worker.loop").main(spec, socket_fd, arena_fd, gateway_pid)


def verify(spec: ShardSpec, fd: int, pairs: int, unquantised: str, parent_pid: int) -> None:
    """Examine the model that `spec` describes, and write the findings to this descriptor."""
    import_module("shards.tools.verify.run").main(spec, fd, pairs, unquantised, parent_pid)
