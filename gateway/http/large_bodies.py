"""A thread for the work on large bodies: from their bytes to a request, and from a result to bytes.

Both take time in proportion to their bytes. They are done in a thread, one body at a time, so that
the event loop answers other requests meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.domain.errors import DeadlineExceeded

LARGE_BYTES = 64 * 1024
"""The bytes from which a body is large: the worst of smaller ones takes some 60 ms of the loop, at
a microsecond for each byte (`scripts/fuzz_requests.py`)."""

T = TypeVar("T")


class LargeBodies:
    """The thread, and the turns of the bodies."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")

    async def run(self, seconds: float, work: Callable[[], T]) -> T:
        """Return the result of work on a large body.

        Raises:
            DeadlineExceeded: the work on other bodies took longer than so many seconds.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._thread, work)
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed while other large bodies were read: send fewer documents in "
                "one request"
            ) from None
