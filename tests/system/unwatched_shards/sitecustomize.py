"""Makes the supervisors of a gateway under test await the end of their shards without looking."""

import asyncio
from collections.abc import Callable

from gateway.supervision.shard_process import ShardProcess


async def _wait(
    process: ShardProcess, _stop_asked: asyncio.Event, _look: Callable[[], None]
) -> None:
    await process.ended.wait()


# mypy rejects a method that is replaced, which is what this module is for
ShardProcess.watch = _wait  # type: ignore[assignment, method-assign]
