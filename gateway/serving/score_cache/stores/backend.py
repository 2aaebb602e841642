"""The interface of a place that keeps sealed scores, and its errors.

A backend moves bytes. Limits of time, checksums, epochs and counts are those of `ScoreStore`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class StoreFailed(Exception):
    """The backend cannot be used now; the message is the reason, without secrets."""


class StoreFull(StoreFailed):
    """The backend takes no new scores, but answers."""


class Entry(NamedTuple):
    """A sealed score on its way into a backend.

    Attributes:
        identity: the scoring identity of its model.
        key: the key of its pair.
        sealed: see `sealed_score`.
        seconds: the time that is left of its life.
    """

    identity: bytes
    key: bytes
    sealed: bytes
    seconds: float


class Usage(NamedTuple):
    """The size of a backend; `None` where it is not known."""

    entries: int | None = None
    bytes: int | None = None
    max_bytes: int | None = None


class Backend(Protocol):
    """A place that keeps sealed scores; every method may raise `StoreFailed`."""

    @property
    def place(self) -> str:
        """Its file or address, without secrets."""

    @property
    def usage(self) -> Usage:
        """Its size."""

    async def read(
        self, identity: bytes, keys: Sequence[bytes]
    ) -> tuple[bytes | None, Mapping[bytes, bytes]]:
        """Return the epoch of a model, and the sealed scores that are there, by key."""

    async def epoch(self, identity: bytes, new: bytes) -> bytes:
        """Return the epoch of a model; it becomes `new` if the model has none."""

    async def renew(self, identity: bytes, new: bytes) -> None:
        """Give a model another epoch: its scores of earlier epochs are not valid."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Keep scores."""

    async def close(self) -> None:
        """Release what it holds."""


class ClaimingBackend(Backend, Protocol):
    """A backend that many gateways use, so that they claim pairs in it, see `claims`."""

    async def claim(self, claims: Mapping[bytes, bytes], seconds: float) -> Mapping[bytes, bool]:
        """Put claims in the places of scores, for some time, and return whether each was put.

        False means that there is a claim or a score. A key that the backend refuses is not
        returned.
        """

    async def release(self, keys: Sequence[bytes]) -> None:
        """Remove claims."""
