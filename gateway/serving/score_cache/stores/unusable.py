"""A backend that cannot be opened, and reports why to each use."""

from collections.abc import Mapping, Sequence

from gateway.serving.score_cache.stores.backend import Entry, StoreFailed, Usage


class UnusableBackend:
    """See `Backend`; it keeps nothing.

    Args:
        place: the file or address.
        reason: the reason why it cannot be used.
    """

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.usage = Usage()
        self._reason = reason

    async def read(
        self, identity: bytes, keys: Sequence[bytes]
    ) -> tuple[bytes | None, Mapping[bytes, bytes]]:
        """See `Backend`."""
        raise StoreFailed(self._reason)

    async def epoch(self, identity: bytes, new: bytes) -> bytes:
        """See `Backend`."""
        raise StoreFailed(self._reason)

    async def renew(self, identity: bytes, new: bytes) -> None:
        """See `Backend`."""
        raise StoreFailed(self._reason)

    async def write(self, entries: Sequence[Entry]) -> None:
        """See `Backend`."""
        raise StoreFailed(self._reason)

    async def close(self) -> None:
        """See `Backend`."""
