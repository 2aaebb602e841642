"""uvicorn's server, with a shutdown that no client can delay.

The first SIGTERM or SIGINT starts the shutdown: `/readyz` reports not ready, and replies close
their connections. After `drain_notice_seconds` no connection is accepted any more, and the accepted
requests have `drain_seconds` to finish; the rest gets 503. The second signal skips the waiting,
restores the signal's default action and raises the signal again; the kernel ends the shards with
their parent. A third signal meets no handler of the gateway.
"""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.errors import ShuttingDown
from gateway.http.request_context import OPERATOR
from gateway.http.server.protocol import HttpGuard
from gateway.http.server.watch import Watch

FLUSH_SECONDS = 0.5
"""The time for the last refusals to be sent."""

APP_SECONDS = 1
"""The time for the app to notice that its clients were refused."""

TLS_SHUTDOWN_SECONDS = 5.0
"""The time for a client to answer the close of a TLS connection."""

_POLL_SECONDS = 0.02


class GuardedServer(uvicorn.Server):
    """A server whose connections are guarded, and whose shutdown is bounded."""

    def __init__(
        self,
        config: uvicorn.Config,
        watch: Watch,
        *,
        drain_seconds: float,
        notice_seconds: float = 0.0,
        on_signal: Callable[[], None] = lambda: None,
        tls: ssl.SSLContext | None = None,
        operator: socket.socket | None = None,
    ) -> None:
        """Take over a configuration that has not been loaded.

        Args:
            config: uvicorn's.
            watch: the limits of the connections.
            drain_seconds: how long accepted requests may take during a shutdown.
            notice_seconds: how long connections are accepted after the start of a shutdown.
            on_signal: called at the start of a shutdown, inside the signal handler.
            tls: TLS for the sockets of `run`; `None` for none.
            operator: a listening Unix socket; its clients are the operator.
        """
        config.ws = "none"  # WebSocket connections would bypass the guard
        config.timeout_graceful_shutdown = APP_SECONDS
        super().__init__(config)
        self._watch = watch
        self._drain_seconds = drain_seconds
        self._notice_seconds = notice_seconds
        self._on_signal = on_signal
        self._tls = tls
        self._operator = operator
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = loop = asyncio.get_running_loop()
        await super().startup([])
        for listener in sockets or []:
            server = await loop.create_server(
                self._connection,
                sock=listener,
                backlog=self.config.backlog,
                ssl=self._tls,
                ssl_handshake_timeout=self._watch.settings.header_seconds if self._tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if self._tls else None,
            )
            self.servers.append(server)
        if self._operator is not None:
            server = await loop.create_unix_server(self._operator_connection, sock=self._operator)
            self.servers.append(server)

    def _connection(self) -> HttpGuard:
        return HttpGuard(
            self._watch,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _operator_connection(self) -> HttpGuard:
        connection = self._connection()
        connection.app = _as_operator(connection.app)
        return connection

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the shutdown; or, if it has started, end at once."""
        if not self.should_exit:
            self._watch.stopping = True
            self._on_signal()
            super().handle_exit(sig, frame)
            return
        signal.signal(sig, signal.SIG_DFL)
        if self._loop is None or not self.started:
            os.kill(os.getpid(), sig)
            return
        self.force_exit = True
        self._loop.call_soon_threadsafe(self._end_by, sig)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the requests for as long as they may take, then end in spite of any client."""
        await _until(lambda: self.force_exit, self._notice_seconds)
        for server in self.servers:
            server.close()
        for listener in (*(sockets or []), *([self._operator] if self._operator else [])):
            listener.close()
        for connection in self._connections:
            connection.shutdown()
        await _until(lambda: self.force_exit or not self._connections, self._drain_seconds)
        await self._refuse_all()
        await super().shutdown(sockets)

    @property
    def _connections(self) -> list[HttpGuard]:
        return cast(list[HttpGuard], list(self.server_state.connections))

    async def _refuse_all(self) -> None:
        """Answer every open request with 503, and close its connection."""
        for connection in self._connections:
            connection.shutdown()
            connection.refuse(ShuttingDown("the gateway is stopping", retry_after_seconds=5))
        await _until(lambda: not self._connections, FLUSH_SECONDS)
        for connection in self._connections:
            connection.transport.abort()

    def _end_by(self, sig: int) -> None:
        async def end() -> None:
            await self._refuse_all()
            os.kill(os.getpid(), sig)

        self._ending = asyncio.create_task(end())


def _as_operator(app: ASGIApp) -> ASGIApp:
    """Return the app, with every request marked as the operator's."""

    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        scope[OPERATOR] = True
        await app(scope, receive, send)

    return marked


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds, for at most these seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition() and loop.time() < end:  # noqa: ASYNC110 (no event to wait for)
        await asyncio.sleep(_POLL_SECONDS)
