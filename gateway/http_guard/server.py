"""uvicorn's server, with an end that no client can delay.

The first SIGTERM or SIGINT starts the end: `/readyz` says no, replies close their connections; after
`drain_notice_seconds` nobody is let in any more, and what was accepted has `drain_seconds` to finish.
The rest is answered with 503. The second signal does all of that at once and then lets the signal
do what it does to any process; the shards die with their parent, by order of the kernel. A third
finds no handler of ours at all.
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

from gateway.call import OPERATOR
from gateway.errors import ShuttingDown
from gateway.http_guard.protocol import HttpGuard
from gateway.http_guard.watch import Watch

FLUSH_SECONDS = 0.5
"""How long the last refusals may take to leave."""

APP_SECONDS = 1
"""How long the app may take to notice that its clients were refused."""

BYE_SECONDS = 5.0
"""How long a client may take to say good-bye to the end of TLS."""

_POLL_SECONDS = 0.02


class GuardedServer(uvicorn.Server):
    """A server whose connections are guarded."""

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
            on_signal: called when the end starts, inside the signal handler.
            tls: spoken on the sockets of `run`.
            operator: a listening Unix socket; who comes in by it is the operator.
        """
        config.ws = "none"  # a second protocol on our port would be unguarded
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
                ssl_shutdown_timeout=BYE_SECONDS if self._tls else None,
            )
            self.servers.append(server)
        if self._operator is not None:
            server = await loop.create_unix_server(self._operators, sock=self._operator)
            self.servers.append(server)

    def _connection(self) -> HttpGuard:
        return HttpGuard(
            self._watch,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _operators(self) -> HttpGuard:
        connection = self._connection()
        connection.app = _for_operator(connection.app)
        return connection

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; or, when it has begun, end."""
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
        """Let requests finish for as long as they may, then end whatever the clients do."""
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
        """Answer what is still open with 503, and hang up."""
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


def _for_operator(app: ASGIApp) -> ASGIApp:
    """Return the app for those who come in by the operator's socket."""

    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        scope[OPERATOR] = True
        await app(scope, receive, send)

    return marked


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, but not longer than this."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition() and loop.time() < end:  # noqa: ASYNC110 (nobody tells us when it is)
        await asyncio.sleep(_POLL_SECONDS)
