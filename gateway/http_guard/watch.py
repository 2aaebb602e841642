"""All connections of a server: how many there are, from where, and a regular look at each clock.

One timer looks at all connections, four times a second while there are any. So a request costs no
timer at all, only a note of the time; time-outs are late by at most one look.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.config import HttpSettings
from gateway.errors import GatewayError, TooManyConnections
from gateway.http_guard.head import AllowedHosts

LOOK_SECONDS = 0.25
PER_ADDRESS = 256
"""The most connections from one address, unless told otherwise; see the settings."""

AT_ONCE = 32
"""How many connections are looked at before others have their turn: refusing one takes a while."""

LEAVING = 64
"""How many connections over the limit are told so; those beyond are cut without a word."""


class Clocked(Protocol):
    """A connection that can be looked at."""

    def look(self, now: float, since_last: float) -> None:
        """Do what is due at this time; `since_last` is the time since the look before."""


class Watch:
    """What the connections of one server share.

    Attributes:
        stopping: whether connections are to close after their next reply.
    """

    def __init__(
        self,
        settings: HttpSettings,
        hosts: AllowedHosts,
        refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        """Watch over connections.

        Args:
            refused: called with a short stable reason whenever a connection is refused or cut.
        """
        self.settings = settings
        self.hosts = hosts
        self.refused = refused
        self.stopping = False
        self._from: Counter[str] = Counter()
        self._is_looking = False

    def arrived(self, address: str, total: int) -> GatewayError | None:
        """Note a connection; return why it cannot stay, if so. Call `left` in any case."""
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
        """Forget a connection."""
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def start(self, loop: asyncio.AbstractEventLoop, connections: Iterable[Clocked]) -> None:
        """Look at these connections from now on, until there are none; harmless when it does."""
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(LOOK_SECONDS, self._look, loop, connections, loop.time())

    def _look(
        self, loop: asyncio.AbstractEventLoop, connections: Iterable[Clocked], last: float
    ) -> None:
        now = loop.time()
        alive = list(connections)
        _look_at(loop, alive, now, now - last)
        self._is_looking = bool(alive)
        if alive:
            loop.call_later(LOOK_SECONDS, self._look, loop, connections, now)

    def _most_from(self, address: str) -> float:
        if self.settings.connections_per_address is not None:
            return self.settings.connections_per_address
        return float("inf") if _is_this_machine(address) else PER_ADDRESS


def _look_at(
    loop: asyncio.AbstractEventLoop, connections: list[Clocked], now: float, since_last: float
) -> None:
    for connection in connections[:AT_ONCE]:
        connection.look(now, since_last)
    if rest := connections[AT_ONCE:]:
        loop.call_soon(_look_at, loop, rest, now, since_last)


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return True  # a Unix socket
