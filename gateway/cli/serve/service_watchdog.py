"""Readiness, status line and keep-alive pings for a service manager, as long as the gateway runs.

The gateway is ready when a client got an answer over the port, the start of every model has ended,
and one model can score. It is alive as long as the event loop turns, the port answers, and every
supervisor has checked its shard just now: a gateway that only keeps its process must be restarted.
While models load and report progress, systemd is asked for more time to start. A load that stalls
is ended by its supervisor, and then no more time is asked for.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.cli.serve.sd_notify import Notifier
from gateway.cli.serve.startup_log import STARTING, Lifespan
from gateway.http.health import TAKING, summary
from gateway.serving.fleet import Fleet
from gateway.serving.reload import Reloads
from gateway.telemetry.status import ModelStatus

CHECK_SECONDS = 0.5
PINGS_PER_WATCHDOG = 3
MORE_SECONDS = 30.0
"""Time to start that each check of a load in progress asks for."""

PROBE_SECONDS = 2.0


def with_watchdog(lifespan: Lifespan, notifier: Notifier, address: tuple[str, int]) -> Lifespan:
    """Return the lifespan of the app, watched from before its start until after its end.

    Without a service manager the lifespan stays as it is.
    """
    if not notifier.is_enabled:
        return lifespan

    @asynccontextmanager
    async def watched(app: Any) -> AsyncIterator[Any]:
        gateway = app.state.gateway
        watchdog = ServiceWatchdog(
            notifier=notifier,
            fleet=gateway.fleet,
            reloads=gateway.reloads,
            probe=partial(answers, *address),
            is_leaving=lambda: gateway.leaving,
        )
        checking = asyncio.create_task(watchdog.run(), name="watchdog")
        try:
            async with lifespan(app) as state:
                yield state
                await watchdog.check()  # the end may be over before the next check
        finally:
            checking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await checking

    return watched


@dataclass(slots=True, kw_only=True)
class ServiceWatchdog:
    """Periodic checks of the gateway, each followed by notifications of what has changed.

    Attributes:
        probe: requests over the port itself; returns whether an answer came.
        is_leaving: whether the end has begun.
    """

    notifier: Notifier
    fleet: Fleet
    reloads: Reloads
    probe: Callable[[], Awaitable[bool]]
    is_leaving: Callable[[], bool]
    _status: str = ""
    _is_ready: bool = False
    _is_reloading: bool = False
    _is_stopping: bool = False
    _last_ping: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self) -> None:
        """Check once, and notify the service manager of what has changed."""
        models = self.fleet.status()
        self._notify_status(models)
        if self.is_leaving():
            self._notify_end()
        elif self._is_ready:
            self._notify_reload()
        else:
            await self._notify_start(models)
        await self._keep_alive()

    def _notify_status(self, models: tuple[ModelStatus, ...]) -> None:
        line = summary(models, stopping=self.is_leaving())
        if line != self._status:
            self._status = line
            self.notifier.status(line)

    async def _notify_start(self, models: tuple[ModelStatus, ...]) -> None:
        if any(shard.state in STARTING for model in models for shard in model.shards):
            self.notifier.extend_timeout(MORE_SECONDS)
        elif any(model.state in TAKING for model in models) and await self.probe():
            self._is_ready = True
            self.notifier.ready()

    def _notify_reload(self) -> None:
        running = self.reloads.status().running
        if running is not self._is_reloading:
            self._is_reloading = running
            (self.notifier.reloading if running else self.notifier.ready)()

    def _notify_end(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self.notifier.stopping()

    async def _keep_alive(self) -> None:
        """Ping, if due and if the gateway works; at the end the port is closed and not probed."""
        now = time.monotonic()
        interval = self.notifier.watchdog_seconds / PINGS_PER_WATCHDOG
        if not interval or now - self._last_ping < interval or not self.fleet.is_watched(now):
            return
        if not self._is_ready or self.is_leaving() or await self.probe():
            self._last_ping = now
            self.notifier.keep_alive()


async def answers(host: str, port: int) -> bool:
    """Return whether the server on a port reacts to a request in time.

    Any byte counts, and so does a connection that the server closes: the reply to a plain request
    depends on limits and on TLS, while any reaction shows that connections are accepted.
    """
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                await reader.read(1)
            finally:
                writer.close()
            return True
    return False
