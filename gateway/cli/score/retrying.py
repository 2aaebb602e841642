"""Requests that are sent again while a server restarts or is full, for a bounded time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.cli.score.scorer import Refused, Unreachable
from gateway.client.retries import Retries

T = TypeVar("T")

RETRIED_STATUSES = frozenset({429, 502, 503})
_DELAYS = Retries(longest_wait_seconds=5.0)


class TemporaryFailure(Exception):
    """A failure after which the same request may succeed.

    Attributes:
        error: the failure, for the case that no try is left.
        retry_after_seconds: the server's `Retry-After`, if it sent one.
    """

    def __init__(
        self, error: Refused | Unreachable, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_seconds = retry_after_seconds


async def retried(send: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Call until there is a result, for at most so many seconds after the first failure.

    Raises:
        Refused: the request was rejected; a temporary rejection only if `seconds` is 0.
        Unreachable: the last failure, if the time is over.
    """
    attempts, end = 0, 0.0
    while True:
        try:
            return await send()
        except TemporaryFailure as failure:
            if not seconds:
                raise failure.error from None
            attempts += 1
            now = time.monotonic()
            end = end or now + seconds
            wait = _DELAYS.wait_seconds(attempts, failure.retry_after_seconds, random.random())
            if now + wait > end:
                raise Unreachable(f"{failure.error} (tried for {seconds:g} s)") from None
        await asyncio.sleep(wait)
