"""Tells the service manager the truth about the gateway, as long as it runs.

It is ready when a client got an answer over the port and every model has come to an end of its
start, one of them well. It is alive as long as the event loop turns, the port answers, and every
supervisor has looked at its shard just now: a gateway that only keeps its process is one to restart.
While models load, and say that they do, systemd is asked for more time; a load that stands still is
ended by its supervisor, and then no more is asked for.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.fleet import Fleet
from gateway.health import SCORING, summary
from gateway.notify import Notifier
from gateway.reload import Reloads
from gateway.status import ModelStatus

LOOK_SECONDS = 0.5
PINGS_PER_WATCHDOG = 3
MORE_SECONDS = 30.0
"""How much time is asked for at every look at a load that goes on."""

KNOCK_SECONDS = 2.0

_ON_THE_WAY = frozenset({"stopped", "starting", "loading", "warming"})


@dataclass(slots=True, kw_only=True)
class Attendant:
    """One look after the other at the gateway, and a word to the service manager after each.

    Attributes:
        knock: asks over the port itself whether somebody answers.
        is_leaving: whether the end has begun.
    """

    notifier: Notifier
    fleet: Fleet
    reloads: Reloads
    knock: Callable[[], Awaitable[bool]]
    is_leaving: Callable[[], bool]
    _line: str = ""
    _is_ready: bool = False
    _is_reloading: bool = False
    _says_goodbye: bool = False
    _last_ping: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once, and say what has changed."""
        models = self.fleet.status()
        self._tell_line(models)
        if self.is_leaving():
            self._tell_end()
        elif self._is_ready:
            self._tell_reload()
        else:
            await self._tell_start(models)
        await self._tell_alive()

    def _tell_line(self, models: tuple[ModelStatus, ...]) -> None:
        line = summary(models, stopping=self.is_leaving())
        if line != self._line:
            self._line = line
            self.notifier.status(line)

    async def _tell_start(self, models: tuple[ModelStatus, ...]) -> None:
        if any(shard.state in _ON_THE_WAY for model in models for shard in model.shards):
            self.notifier.needs(MORE_SECONDS)
        elif any(model.state in SCORING for model in models) and await self.knock():
            self._is_ready = True
            self.notifier.ready()

    def _tell_reload(self) -> None:
        running = self.reloads.status().running
        if running is not self._is_reloading:
            self._is_reloading = running
            (self.notifier.reloading if running else self.notifier.ready)()

    def _tell_end(self) -> None:
        if not self._says_goodbye:
            self._says_goodbye = True
            self.notifier.stopping()

    async def _tell_alive(self) -> None:
        """Ping, if that is due and true. At the end the port is closed, so nobody knocks."""
        now = time.monotonic()
        due = self.notifier.watchdog_seconds / PINGS_PER_WATCHDOG
        if not due or now - self._last_ping < due or not self.fleet.is_attended(now):
            return
        if not self._is_ready or self.is_leaving() or await self.knock():
            self._last_ping = now
            self.notifier.alive()


async def answers(host: str, port: int) -> bool:
    """Return whether whoever accepts on a port reacts to a request, in time.

    Any byte will do, and a connection that is closed as well: what it says to a plain request
    depends on its limits and on TLS; that it says anything shows that connections are accepted.
    """
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(KNOCK_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                await reader.read(1)
            finally:
                writer.close()
            return True
    return False
