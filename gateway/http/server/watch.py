"""All connections of a server: their limits, and the timer that checks their timeouts.

One timer checks all connections, four times a second while there are any. So a request needs no
timer, only a note of the time; a timeout fires at most one period late.

Time in which the gateway stood still (a stopped process, a paused machine) does not count: what
clients sent meanwhile is read after the check, not before.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.config import HttpSettings
from gateway.domain.errors import GatewayError, TooManyConnections
from gateway.http.server.head import AllowedHosts

CHECK_SECONDS = 0.25
STANDSTILL_SECONDS = 1.0
"""A check that is later than this shows that the gateway stood still."""

PER_ADDRESS = 256
"""The default limit of connections from one address; see `http.connections_per_address`."""

CHECKED_AT_ONCE = 32
"""Connections checked before the event loop runs other work: each may need a refusal."""

LINGERING = 64
"""Connections over the limit that get a refusal; those beyond are reset without one. Fewer where
the limit of open files is low."""


class Timed(Protocol):
    """A connection with timeouts."""

    def check_timeouts(self, now: float, since_last: float) -> None:
        """Act on timeouts that have passed; `since_last` is the time since the last check."""


class Watch:
    """Limits and timer that the connections of one server share.

    Attributes:
        stopping: true if connections are to close after their next reply.
    """

    def __init__(
        self,
        settings: HttpSettings,
        hosts: AllowedHosts,
        refused: Callable[[str], None] = lambda code: None,
        lingering: int = LINGERING,
    ) -> None:
        """Create the limits of a server.

        Args:
            settings: the limits and timeouts.
            hosts: the hosts that the server answers to.
            refused: called with a short stable reason whenever a connection is refused or reset.
            lingering: connections over the limit that get a refusal.
        """
        self.settings = settings
        self.hosts = hosts
        self.refused = refused
        self.lingering = lingering
        self.stopping = False
        self._from: Counter[str] = Counter()
        self._is_checking = False
        self._stood_still = 0.0  # seconds, in all

    def steady(self, time: float) -> float:
        """Return a time of the event loop without the time in which the gateway stood still."""
        return time - self._stood_still

    def arrived(self, address: str, total: int) -> GatewayError | None:
        """Count a connection in; return an error if there are too many; `left` counts it out."""
        self._from[address] += 1
        if total > self.settings.connections:
            return TooManyConnections(
                f"all {self.settings.connections} connections (http.connections) are in use"
            )
        if self._from[address] > self._most_from(address):
            return TooManyConnections(
                f"{self._most_from(address):.0f} connections come from this address already "
                "(http.connections_per_address): use them again"
            )
        return None

    def left(self, address: str) -> None:
        """Count a connection out."""
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def start(self, loop: asyncio.AbstractEventLoop, connections: Iterable[Timed]) -> None:
        """Start the timer, if it is not running; it stops when there are no connections left."""
        if not self._is_checking:
            self._is_checking = True
            loop.call_later(CHECK_SECONDS, self._check, loop, connections, loop.time())

    def _check(
        self, loop: asyncio.AbstractEventLoop, connections: Iterable[Timed], last: float
    ) -> None:
        now = loop.time()
        late = now - last - CHECK_SECONDS
        if late > STANDSTILL_SECONDS:
            self._stood_still += late
        else:
            late = 0.0
        alive = list(connections)
        _check_all(loop, alive, self.steady(now), now - last - late)
        self._is_checking = bool(alive)
        if alive:
            loop.call_later(CHECK_SECONDS, self._check, loop, connections, now)

    def _most_from(self, address: str) -> float:
        if self.settings.connections_per_address is not None:
            return self.settings.connections_per_address
        return float("inf") if _is_this_machine(address) else PER_ADDRESS


def _check_all(
    loop: asyncio.AbstractEventLoop, connections: list[Timed], now: float, since_last: float
) -> None:
    for connection in connections[:CHECKED_AT_ONCE]:
        connection.check_timeouts(now, since_last)
    if rest := connections[CHECKED_AT_ONCE:]:
        loop.call_soon(_check_all, loop, rest, now, since_last)


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return True  # a Unix socket
