"""Phases of a connection, their timeouts, and the check that a reply is read. Pure."""

from enum import Enum, auto

from gateway.config import HttpSettings

LINGER_SECONDS = 5.0
"""The time for a refused client to read the refusal and to close the connection."""


class Phase(Enum):
    """The event that a connection waits for."""

    CONNECTED = auto()
    """Its first byte."""

    HEAD = auto()
    """The end of the request's head."""

    BODY = auto()
    """The end of the request's body."""

    REPLY = auto()
    """The app's reply."""

    IDLE = auto()
    """The next request."""

    LINGERING = auto()
    """The client's close, after a refusal."""


def seconds(settings: HttpSettings) -> dict[Phase, float]:
    """Return the timeout of each phase; in `REPLY` the deadline of the request applies instead."""
    return {
        Phase.CONNECTED: settings.first_byte_seconds,
        Phase.HEAD: settings.header_seconds,
        Phase.BODY: settings.body_seconds,
        Phase.IDLE: settings.keep_alive_seconds,
        Phase.LINGERING: LINGER_SECONDS,
    }


class WriteProgress:
    """Detects a client that does not read its reply, or reads it too slowly."""

    def __init__(self, settings: HttpSettings) -> None:
        self._seconds = settings.write_seconds
        self._rate = settings.body_bytes_per_second
        self._before: tuple[float, int] | None = None  # time and unwritten bytes, at the start

    def is_stalled(self, now: float, unwritten: int) -> bool:
        """Return whether the client reads too slowly; `unwritten` bytes are left to send."""
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
