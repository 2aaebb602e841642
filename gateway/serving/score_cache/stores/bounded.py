"""Waits with a limit, for work whose end nothing promises."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.serving.score_cache.stores.backend import StoreFailed

_Result = TypeVar("_Result")
_tasks: set[asyncio.Task[Any]] = set()  # the event loop keeps no task alive by itself


async def within(seconds: float, work: Coroutine[object, object, _Result]) -> _Result:
    """Return the result of a use of the backend.

    It is a task of its own, which is not waited for when it is cancelled: redis-py may swallow a
    cancellation. Unlike a timeout, `wait` loses no answer that came while the event loop was busy.

    Raises:
        StoreFailed: why there is none in time.
    """
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_retrieve)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise StoreFailed(f"no answer within {1e3 * seconds:g} ms")
        if task.cancelled():  # by its library: it must not look like the end of the request
            raise StoreFailed("its client gave up")
        return task.result()
    except StoreFailed:
        raise
    except Exception as error:  # of any library: an error costs scores, never an answer
        raise StoreFailed(f"{type(error).__name__}: {error}") from error
    finally:
        task.cancel()


async def settle(seconds: float) -> None:
    """Wait for the work of this event loop that was cancelled and goes on, at most so long."""
    loop = asyncio.get_running_loop()
    if left := [task for task in _tasks if task.get_loop() is loop]:
        await asyncio.wait(left, timeout=seconds)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the error of a task that is no longer waited for, which asyncio would log."""
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
