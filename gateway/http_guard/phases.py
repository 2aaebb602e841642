"""What a connection can wait for, how long each of these may take, and whether a reply is read. Pure."""

from enum import Enum, auto

from gateway.config import HttpSettings

LEAVING_SECONDS = 5.0
"""How long a refused client may take to read why and to hang up."""


class Phase(Enum):
    """What a connection waits for."""

    SILENT = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    RESTING = auto()
    LEAVING = auto()


def seconds(settings: HttpSettings) -> dict[Phase, float]:
    """Return how long each phase may take; the time to answer is the request's own affair."""
    return {
        Phase.SILENT: settings.first_byte_seconds,
        Phase.HEAD: settings.header_seconds,
        Phase.BODY: settings.body_seconds,
        Phase.RESTING: settings.keep_alive_seconds,
        Phase.LEAVING: LEAVING_SECONDS,
    }


class Writing:
    """Watches whether what is written goes out."""

    def __init__(self, settings: HttpSettings) -> None:
        self._seconds = settings.write_seconds
        self._rate = settings.body_bytes_per_second
        self._before: tuple[float, int] | None = None  # when we looked, and what was unwritten

    def is_stuck(self, now: float, unwritten: int) -> bool:
        """Return whether `unwritten` bytes have been going out too slowly for too long."""
        if not unwritten:
            self._before = None
            return False
        if self._before is None:
            self._before = now, unwritten
        since, before = self._before
        if now - since <= self._seconds:
            return False
        self._before = now, unwritten
        return before - unwritten < self._rate * (now - since)
