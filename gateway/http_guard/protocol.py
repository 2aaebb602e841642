"""One connection: uvicorn's HTTP protocol with phases, clocks and a way to say no.

    SILENT ──first byte──▶ HEAD ──head complete──▶ BODY ──body complete──▶ ANSWER ──reply──▶ RESTING
                            ▲                                                                  │
                            └────────────────────────next byte────────────────────────────────┘

Any of them ends in LEAVING once the guard has refused: the refusal is written, our side is closed,
and what the client still sends is thrown away for a while, since closing at once would make the
kernel drop the refusal (a reset). Each phase but ANSWER has a limit; the time to answer is the
request's own affair, its deadline.

One request at a time: what a client sends after a request and before its answer is not read as a
request at all; the answer is then the last one of the connection.

A request that is refused here while the app works on it looks to the app as if the client had left,
so its documents leave the line (`Call.give_up`); its `Call` is told the status, for the log and the metrics.

This relies on more of uvicorn than it promises; `tests/gateway/test_http_guard.py` lists what.
"""

import asyncio
import contextlib
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.call import WHOLE, Call, call_of, request_id
from gateway.dialects import dialect_of
from gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest, RequestTimeout
from gateway.http_guard.head import check_head, check_size
from gateway.http_guard.phases import Phase, Writing, seconds
from gateway.http_guard.refusal import refusal
from gateway.http_guard.watch import LEAVING, Watch

GRACE_SECONDS = 5.0
"""A body's rate counts from here on."""

DISCARDED_BYTES = 64 * 1024 * 1024
"""How much of a body nobody wants is read, so that its sender can read the answer."""

_logger = logging.getLogger(__name__)


_ASKED = (Phase.BODY, Phase.ANSWER)
"""Phases in which the app has a request of this connection."""


class _Pipelined(Exception):
    """A client sent a request before the answer to the one before."""


class HttpGuard(HttpToolsProtocol):
    """One connection, guarded."""

    def __init__(self, watch: Watch, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._watch = watch
        self._seconds = seconds(watch.settings)
        self._phase = Phase.SILENT
        self._since = self.loop.time()
        self._received = 0  # bytes in this phase
        self._idle_bytes = 0  # bytes since the last that belonged to a body
        self._got_body = False
        self._keep_alive = True
        self.url = b""
        self._method = b""
        self._is_deaf = False  # whether what comes is thrown away
        self._writing = Writing(watch.settings)

    # -- from the network --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        total = len(self.connections)
        self._watch.start(self.loop, self.connections)  # type: ignore[arg-type]
        if error := self._watch.arrived(self._address, total):
            if total > self._watch.settings.connections + LEAVING:
                self._cut(error.code)
            else:
                self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.left(self._address)
        self._give_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._is_deaf:
            if self._received > DISCARDED_BYTES:
                self._cut("sent_on")
            return
        if self._phase is Phase.RESTING or self._phase is Phase.SILENT:
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
        """Read a request again without its offer to speak another protocol.

        The parser takes an offer as accepted, and a body as the other protocol's. Java's client
        offers HTTP/2 with the first request of every connection.
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
        if self._phase is Phase.ANSWER:  # pipelined, or rubbish after the request
            self._answer_last()
        else:
            raise InvalidRequest(f"this is not HTTP/1.1: {cause or error}")

    def _check_bytes(self, size: int) -> None:
        """Bound what is not a body: heads, trailers, extensions of chunks."""
        if self._phase is Phase.HEAD:
            check_size(self._received, self._watch.settings)
        elif self._phase is Phase.BODY:
            self._idle_bytes = 0 if self._got_body else self._idle_bytes + size
            if self._idle_bytes > self._watch.settings.header_bytes:
                raise HeadersTooLarge("trailers and chunk extensions are over http.header_bytes")
            if self.cycle.response_complete and self._received > DISCARDED_BYTES:
                self._cut("sent_on")

    # -- from the parser ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase is Phase.ANSWER:
            raise _Pipelined
        if self._phase is Phase.RESTING:  # the end of the last body came with it
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
            raise InvalidRequest("this is no proxy: CONNECT is not taken")
        if self.parser.should_upgrade():
            return  # and `_decline_upgrade` is next
        super().on_headers_complete()
        self.headers = []  # for trailers, which are nobody's business
        self._keep_alive = self.cycle.keep_alive and not self._watch.stopping
        # a client that asked may send its body or not, once it is refused: nobody knows which
        self.cycle.keep_alive = self._keep_alive and not self.expect_100_continue
        self._enter(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self._got_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.HEAD:  # the parser left for an upgrade
            return
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[literal-required]
        if self.expect_100_continue:
            self.cycle.keep_alive = self._keep_alive and not self._watch.stopping
        self._enter(Phase.RESTING if self.cycle.response_complete else Phase.ANSWER)

    # -- from the app and the server ---------------------------------------------------------------

    def on_response_complete(self) -> None:
        """See uvicorn's; our clock is in place of its timer, and nothing is ever pipelined."""
        self.server_state.total_requests += 1
        if self.flow.read_paused and not self.transport.is_closing():
            self.flow.resume_reading()
        if self._phase is Phase.ANSWER:
            self._enter(Phase.RESTING)

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error in the app's place, and close.

        Where an answer has begun, a second one would be read as the answer to something else: the
        connection is cut.
        """
        if self._phase is Phase.LEAVING or self.transport.is_closing():
            return
        if self._phase in _ASKED and self.cycle.response_started:
            self._cut(error.code)
            return
        path = self.url.partition(b"?")[0].decode("latin-1")
        call = self._call()
        if call is None:  # nobody else will write a line about it
            call = Call(request_id(), dialect_of(path), is_rerank=False)
            self._log(error, call.request_id)
        call.status = error.status
        headers = self.server_state.default_headers
        self.transport.write(refusal(error, call.dialect, call.request_id, headers))
        self._watch.refused(error.code)
        self._leave()

    def _answer_last(self) -> None:
        """Let the answer to come be the last one, and read no more."""
        self._is_deaf = True
        self._received = 0
        self.cycle.keep_alive = False

    def _leave(self) -> None:
        if self._phase in _ASKED:  # the app is told that the client has left
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
            self._give_up()
        self._enter(Phase.LEAVING)
        self._is_deaf = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _give_up(self) -> None:
        """Whoever asked has left: nobody else wants what is done for it."""
        call = self._call()
        if call is not None and call.give_up is not None:
            call.give_up()

    def _cut(self, reason: str) -> None:
        """End the connection without a word."""
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

    # -- clocks ------------------------------------------------------------------------------------

    def look(self, now: float, since_last: float) -> None:
        """Do what is due at this time."""
        if self.parser is None:  # it was lost a moment ago
            return
        if self._writing.is_stuck(now, self.transport.get_write_buffer_size()):
            self._cut("not_read")
            return
        if self._phase is Phase.BODY and self._is_ours_to_go_on():
            self._since += since_last
            return
        elapsed = now - self._since
        limit = self._seconds.get(self._phase)
        if limit is not None and elapsed > limit:
            self._on_late(limit)
        elif self._phase is Phase.BODY and elapsed > GRACE_SECONDS:
            rate = self._watch.settings.body_bytes_per_second
            if self._received < elapsed * rate:
                self.refuse(RequestTimeout(f"the body comes at less than {rate} bytes per second"))

    def _on_late(self, limit: float) -> None:
        match self._phase:
            case Phase.HEAD:
                self.refuse(RequestTimeout(f"the headers took more than {limit:g} seconds"))
            case Phase.BODY:
                self.refuse(RequestTimeout(f"the body took more than {limit:g} seconds"))
            case Phase.LEAVING:
                self.transport.abort()
            case _:
                self.transport.close()

    def _is_ours_to_go_on(self) -> bool:
        """Whether the body waits for us and not for the client."""
        return self.flow.read_paused or self.cycle.waiting_for_100_continue

    # -- small things ------------------------------------------------------------------------------

    def _enter(self, phase: Phase, received: int = 0) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._received = received
        self._idle_bytes = 0

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _call(self) -> Call | None:
        """Return what the app knows about the open request, once it has begun with it."""
        with contextlib.suppress(KeyError):
            return call_of(self.cycle.scope) if self._phase in _ASKED else None  # type: ignore[arg-type]
        return None
