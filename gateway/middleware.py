"""What happens to every HTTP request, whatever it asks: id, log line, errors, size of the body.

Pure ASGI, from the outside in:

1. `RequestId` opens a `Call`, and puts its id on the reply, errors and unknown paths included.
2. `Observe` writes the access log and tells the metrics; never any text of a request.
3. `Errors` turns what is raised further in into a reply. Nothing else here answers with an error.
4. `BodyLimit` refuses a body that is too large, before reading it where its length is declared.
   The rest of a refused body is discarded by the server, so that the client can read the refusal.

The path of a request is logged, cut and escaped; queries, documents and keys are not.
"""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.dialects import Dialect, dialect_of, place_of
from gateway.errors import BodyTooLarge, GatewayError, InternalError, UnsupportedMediaType
from gateway.keys import Key
from gateway.metrics import UNKNOWN_MODEL
from gateway.timeline import Timeline
from gateway.trace_context import HEADER as TRACE_HEADER
from gateway.trace_context import TraceContext, trace_context

CLIENT_LEFT = 499
"""The code that is counted when the client did not wait for the answer, as nginx has it."""

HTTP_OK = 200
PROBES = frozenset({"/livez", "/readyz", "/health", "/status", "/metrics"})
"""Paths that machines read every few seconds; what goes well there is logged for debugging only."""

OPERATOR = "gateway.operator"
"""In the scope of a request that came in by the operator's own socket."""

_KEY = "gateway.call"
_LONGEST_PATH = 200
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_logger = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")


@dataclass(slots=True)
class Call:
    """What is known about one HTTP request while it lasts.

    Attributes:
        request_id: the client's, if it sent a decent one, or else ours.
        dialect: in whose words errors are told; the path decides first, then the body.
        is_rerank: whether it asks for scores.
        started: monotonic seconds.
        model: the public name of the model, once known.
        status: of the reply, once it has started.
        key: what the client has shown, if there are keys.
        is_operator: whether it may do whatever the operator may, because of where it comes from.
        documents, tokens: what was scored for it.
        timeline: where the time of its jobs went.
        trace: the trace it belongs to, if the client says so.
        headers: what the reply has beside its own, errors included.
        notes: what the log line has beside its own; never a text of the client's.
    """

    request_id: str
    dialect: Dialect
    is_rerank: bool
    started: float = field(default_factory=time.monotonic)
    model: str = UNKNOWN_MODEL
    status: int = 0
    key: Key | None = None
    is_operator: bool = False
    documents: int = 0
    tokens: int = 0
    timeline: Timeline = field(default_factory=Timeline)
    trace: TraceContext | None = None
    headers: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started


def call_of(scope: Scope) -> Call:
    """Return the call that `RequestId` opened."""
    call = scope[_KEY]
    assert isinstance(call, Call)
    return call


class RequestId:
    """Opens the call; answers with its id under both names that clients look for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        request_id = _decent_id(sent.get("x-request-id", ""))
        path = scope["path"]
        is_rerank = scope["method"] == "POST" and place_of(path) is not None
        call = Call(request_id, dialect_of(path), is_rerank, is_operator=OPERATOR in scope)
        call.trace = trace_context(sent.get(TRACE_HEADER))
        if call.trace:
            call.headers[TRACE_HEADER] = call.trace.header
        scope[_KEY] = call

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = headers["request-id"] = request_id
                headers.update(call.headers)
            await send(message)

        await self._app(scope, receive, send_with_id)


class Observe:
    """Writes one log line per request and reports it, however it ended."""

    def __init__(self, app: ASGIApp, finished: Callable[[Call], None]) -> None:
        self._app = app
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = call_of(scope)

        async def send_noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        except ClientDisconnect:
            pass
        finally:
            call.status = call.status or CLIENT_LEFT
            self._finished(call)
            _log(call, scope)


class Errors:
    """Answers with an error whatever is raised further in."""

    def __init__(self, app: ASGIApp, render: Callable[[Scope, GatewayError], ASGIApp]) -> None:
        self._app = app
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise
        except Exception as error:
            call = call_of(scope)
            if not isinstance(error, GatewayError):
                _logger.exception("request %s met a bug", call.request_id)
            if call.status:  # the reply has begun: all that can be done is to cut it off
                raise
            answer = self._render(scope, error if isinstance(error, GatewayError) else _bug(call))
            await answer(scope, receive, send)


class BodyLimit:
    """Refuses bodies over the limit, and encodings that could hide a larger one."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_encoding(headers.get("content-encoding", "identity"))
            self._check_size(int(headers.get("content-length", "0")))  # the server knows it is one
            receive = self._counting(receive)
        await self._app(scope, receive, send)

    def _counting(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        size = 0

        async def receive_up_to_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            self._check_size(size)
            return message

        return receive_up_to_limit

    def _check_size(self, size: int) -> None:
        if size > self._limit_bytes:
            raise BodyTooLarge(
                f"the body has {size} bytes or more, the limit is {self._limit_bytes} "
                "(limits.body_bytes): send the documents in several requests"
            )

    @staticmethod
    def _check_encoding(encoding: str) -> None:
        if encoding.strip().lower() not in {"", "identity"}:
            raise UnsupportedMediaType(
                f"content encoding {encoding[:40]!r} is not read here: send the body as it is",
                param="Content-Encoding",
            )


def _decent_id(sent: str) -> str:
    return sent if _ID.fullmatch(sent) else f"rerank-{uuid.uuid4().hex}"


def _bug(call: Call) -> InternalError:
    return InternalError(
        f"the gateway met a bug of its own; its log says more under request {call.request_id}"
    )


def _log(call: Call, scope: Scope) -> None:
    _access.log(
        _level(call, scope),
        "request",
        extra={
            "request_id": call.request_id,
            "method": scope["method"],
            "path": scope["path"][:_LONGEST_PATH],
            "code": call.status,
            "ms": _ms(call.seconds),
            **(_scoring(call) if call.is_rerank else {}),
            **({"trace_id": call.trace.trace_id} if call.trace else {}),
            **call.notes,
        },
    )


def _scoring(call: Call) -> dict[str, object]:
    """Return what was scored for a request, and where the time went."""
    return {
        "model": call.model,
        "api": call.dialect.name,
        "documents": call.documents,
        "tokens": call.tokens,
        "queue_ms": _ms(call.timeline.longest_wait_seconds),
        "compute_ms": _ms(call.timeline.compute_seconds),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _level(call: Call, scope: Scope) -> int:
    """Return how important a request is: probes that go well would bury everything else."""
    is_probe = scope["method"] == "GET" and scope["path"] in PROBES
    return logging.DEBUG if is_probe and call.status == HTTP_OK else logging.INFO
