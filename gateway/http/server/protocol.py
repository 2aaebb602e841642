"""One connection: uvicorn's HTTP protocol with phases, timeouts and refusals.

    CONNECTED ──first byte──▶ HEAD ──head complete──▶ BODY ──body complete──▶ REPLY ──reply──▶ IDLE
                               ▲                                                                │
                               └────────────────────────next byte───────────────────────────────┘

A refusal moves a connection from any phase to LINGERING: the refusal is written, the gateway's side
is closed, and the input is discarded for a while, because closing at once would make the kernel
drop the refusal (a reset). Each phase except REPLY has a timeout; in REPLY the deadline of the
request applies.

A connection has one request at a time. Data that arrives between a request and its reply is not
read as a request; that reply is then the last one of the connection.

A client may close its side after a complete request, and still gets its reply. A client that has
gone altogether looks the same, so the first byte of the reply is sent at once: the kernel of a
client that has gone answers it with a reset, which cancels the work.

When a request is refused while the app works on it, the app sees a client that disconnected and
cancels the work (`RequestContext.cancel`); the status of the refusal is set in the
`RequestContext`, for the log and the metrics.

The class relies on uvicorn's internals; `tests/gateway/http/server/test_server.py` lists them.
"""

import asyncio
import contextlib
import logging
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.dialects import dialect_of
from gateway.domain.errors import GatewayError, HeadersTooLarge, InvalidRequest, RequestTimeout
from gateway.http.request_context import BODY_COMPLETE, RequestContext, context_of, request_id
from gateway.http.server.half_closed import FIRST_BYTE, AfterFirstByte, is_gone
from gateway.http.server.head import check_head, check_size
from gateway.http.server.phases import Phase, WriteProgress, seconds
from gateway.http.server.refusal import refusal
from gateway.http.server.watch import Watch

GRACE_SECONDS = 5.0
"""The time from which on the rate of a body is checked."""

PEER_SECONDS = 0.05
"""The time for the reset of a client that has gone; afterwards the timer of `Watch` checks."""

DISCARDED_BYTES = 64 * 1024 * 1024
"""The most that is read of a refused body, so that its sender can read the refusal."""

_IN_APP = (Phase.BODY, Phase.REPLY)
"""Phases in which the app has a request of this connection."""

_logger = logging.getLogger(__name__)


class _Pipelined(Exception):
    """A client sent a request before the reply to its last one."""


class HttpGuard(HttpToolsProtocol):
    """One connection, guarded."""

    def __init__(self, watch: Watch, **uvicorn: Any) -> None:  # passed on, and checked there
        super().__init__(**uvicorn)
        self._watch = watch
        self._seconds = seconds(watch.settings)
        self._phase = Phase.CONNECTED
        self._since = self._watch.steady(self.loop.time())
        self._received = 0  # bytes in this phase
        self._overhead_bytes = 0  # received since the last byte of a body
        self._got_body = False
        self._keep_alive = True
        self.url = b""
        self._method = b""
        self._discards_input = False
        self._writing = WriteProgress(watch.settings)
        self._is_half_closed = False

    # -- from the network --------------------------------------------------------------------------

    # asyncio declares the wider `BaseTransport`; a TCP server always passes a `Transport`.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        total = len(self.connections)
        self._watch.start(self.loop, cast("set[HttpGuard]", self.connections))
        if error := self._watch.arrived(self._address, total):
            if total > self._watch.settings.connections + self._watch.lingering:
                self._reset(error.code)
            else:
                self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.left(self._address)
        self._cancel_request()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn declares no result
        """Return whether the connection stays open for a reply; over TLS it cannot."""
        if self._phase is not Phase.REPLY or not self.transport.can_write_eof():
            return False
        self._is_half_closed = True
        self._make_reply_last()
        if not self.cycle.response_started:
            self.transport.write(FIRST_BYTE)
            self.cycle.transport = AfterFirstByte(self.transport)
        self.loop.call_later(PEER_SECONDS, self._check_peer)
        return True

    def _check_peer(self) -> None:
        """Cancel the work for a client that has gone; nothing is read that would report it."""
        if self._phase is Phase.REPLY and is_gone(self.transport):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._discards_input:
            if self._received > DISCARDED_BYTES:
                self._reset("sent_on")
            return
        if self._phase is Phase.IDLE or self._phase is Phase.CONNECTED:
            self._enter(Phase.HEAD, len(data))
        try:
            self._parse(data)
        except GatewayError as error:
            self.refuse(error)

    def _parse(self, data: bytes) -> None:
        self._got_body = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
        else:
            self._check_bytes(len(data))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its offer to upgrade to another protocol.

        The parser takes an offer as accepted, and the body as data of the other protocol. Java's
        client offers HTTP/2 with the first request of every connection.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (self._method, self.url, version, b"".join(lines))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(head + rest)

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, GatewayError):
            raise cause
        if self._phase is Phase.REPLY:  # a pipelined request, or garbage
            self._make_reply_last()
        else:
            raise InvalidRequest(f"this is not HTTP/1.1: {cause or error}")

    def _check_bytes(self, size: int) -> None:
        """Limit everything except bodies: heads, trailers, extensions of chunks."""
        if self._phase is Phase.HEAD:
            check_size(self._received, self._watch.settings)
        elif self._phase is Phase.BODY:
            self._overhead_bytes = 0 if self._got_body else self._overhead_bytes + size
            if self._overhead_bytes > self._watch.settings.header_bytes:
                raise HeadersTooLarge("trailers and chunk extensions are over http.header_bytes")
            if self.cycle.response_complete and self._received > DISCARDED_BYTES:
                self._reset("sent_on")

    # -- from the parser ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase is Phase.REPLY:
            raise _Pipelined
        if self._phase is Phase.IDLE:  # it came with the end of the last body
            self._enter(Phase.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        check_head(
            self.parser.get_http_version(),
            self.url,
            self.headers,
            settings=self._watch.settings,
            hosts=self._watch.hosts,
        )
        self._method = self.parser.get_method()
        if self._method == b"CONNECT":
            raise InvalidRequest("this is not a proxy: CONNECT is not supported")
        if self.parser.should_upgrade():
            return  # `_decline_upgrade` is called next
        super().on_headers_complete()
        self.headers = []  # collects trailers from now on, which are ignored
        self._keep_alive = self.cycle.keep_alive and not self._watch.stopping
        # After a refusal, a client that asked to continue may or may not send its body, so the
        # start of its next request cannot be found.
        self.cycle.keep_alive = self._keep_alive and not self.expect_100_continue
        self._enter(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self._got_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.HEAD:  # the parser has stopped at an upgrade
            return
        super().on_message_complete()
        cast(Scope, self.scope)[BODY_COMPLETE] = True
        if self.expect_100_continue:
            self.cycle.keep_alive = self._keep_alive and not self._watch.stopping
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.REPLY)

    # -- from the app and the server ---------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Replace uvicorn's method: without its keep-alive timer and its pipeline."""
        self.server_state.total_requests += 1
        if self.flow.read_paused and not self.transport.is_closing():
            self.flow.resume_reading()
        if self._phase is Phase.REPLY:
            self._enter(Phase.IDLE)

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error in place of the app, and close.

        Once a reply has started, the client would take a second one as the reply to another
        request: the connection is reset.
        """
        if self._phase is Phase.LINGERING or self.transport.is_closing():
            return
        if self._phase in _IN_APP and self.cycle.response_started:
            self._reset(error.code)
            return
        path = self.url.partition(b"?")[0].decode("latin-1")
        context = self._context()
        if context is None:  # the app has not seen it, so it is logged here
            context = RequestContext(request_id(), dialect_of(path), is_rerank=False)
            self._log(error, context.request_id)
        context.status = error.status
        headers = self.server_state.default_headers
        writer = self.cycle.transport if self._is_half_closed else self.transport
        writer.write(refusal(error, context.dialect, context.request_id, headers))
        self._watch.refused(error.code)
        self._linger()

    def _make_reply_last(self) -> None:
        """Close the connection after the reply to come, and read no more."""
        self._discards_input = True
        self._received = 0
        self.cycle.keep_alive = False

    def _linger(self) -> None:
        if self._phase in _IN_APP:  # report a disconnected client to the app
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
            self._cancel_request()
        self._enter(Phase.LINGERING)
        self._discards_input = True
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self._is_half_closed:
            self.transport.write_eof()
        else:
            self.transport.close()

    def _cancel_request(self) -> None:
        """Cancel the work on the open request: its only client is gone."""
        context = self._context()
        if context is not None and context.cancel is not None:
            context.cancel()

    def _reset(self, reason: str) -> None:
        """Reset the connection, without a reply."""
        self._watch.refused(reason)
        self.transport.abort()

    def _log(self, error: GatewayError, request_id: str) -> None:
        _logger.info(
            "refused",
            extra={
                "request_id": request_id,
                "code": error.status,
                "reason": error.message,
                "client": self._address,
            },
        )

    # -- timeouts ----------------------------------------------------------------------------------

    def check_timeouts(self, now: float, since_last: float) -> None:
        """Act on timeouts that have passed; `since_last` is the time since the last check."""
        if self.parser is None:  # the connection was lost since the list was made
            return
        if self._is_half_closed:
            self._check_peer()
        if self._writing.is_stalled(now, self.transport.get_write_buffer_size()):
            self._reset("not_read")
            return
        if self._phase is Phase.BODY and self._waits_for_app():
            self._since += since_last
            return
        elapsed = now - self._since
        limit = self._seconds.get(self._phase)
        if limit is not None and elapsed > limit:
            self._on_timeout(limit)
        elif self._phase is Phase.BODY and elapsed > GRACE_SECONDS:
            rate = self._watch.settings.body_bytes_per_second
            if self._received < elapsed * rate:
                self.refuse(RequestTimeout(f"the body comes at less than {rate} bytes per second"))

    def _on_timeout(self, limit: float) -> None:
        match self._phase:
            case Phase.HEAD:
                self.refuse(RequestTimeout(f"the headers took more than {limit:g} seconds"))
            case Phase.BODY:
                self.refuse(RequestTimeout(f"the body took more than {limit:g} seconds"))
            case Phase.LINGERING:
                self.transport.abort()
            case _:
                self.transport.close()

    def _waits_for_app(self) -> bool:
        """Return whether the body waits for the app and not for the client."""
        return self.flow.read_paused or self.cycle.waiting_for_100_continue

    # -- helpers -----------------------------------------------------------------------------------

    def _enter(self, phase: Phase, received: int = 0) -> None:
        self._phase = phase
        self._since = self._watch.steady(self.loop.time())
        self._received = received
        self._overhead_bytes = 0

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _context(self) -> RequestContext | None:
        """Return the context of the open request, once the app has created it."""
        if self._phase not in _IN_APP:
            return None
        with contextlib.suppress(KeyError):
            return context_of(cast(Scope, self.cycle.scope))
        return None
