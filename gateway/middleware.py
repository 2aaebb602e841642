"""What happens to every HTTP request, whatever it asks: id, log line, errors, size of the body.

Pure ASGI, from the outside in:

1. `Observe` opens a `Call`, puts its id on the reply, errors and unknown paths included, writes the
   access log and tells the metrics; never any text of a request.
2. `Errors` turns what is raised further in into a reply. Nothing else here answers with an error.
3. `BodyLimit` refuses a body that is too large, before reading it where its length is declared.
   The rest of a refused body is discarded by the server, so that the client can read the refusal.

The path of a request is logged, cut and escaped; queries, documents and keys are not.
"""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.call import Call, call_of
from gateway.errors import BodyTooLarge, GatewayError, InternalError, UnsupportedMediaType

CLIENT_LEFT = 499
"""The code that is counted when the client did not wait for the answer, as nginx has it."""

HTTP_OK = 200
PROBES = frozenset({"/livez", "/readyz", "/health", "/status", "/metrics"})
"""Paths that machines read every few seconds; what goes well there is logged for debugging only."""

_LONGEST_PATH = 200
_logger = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")


class Observe:
    """Opens the call, writes one log line about it and reports it, however it ended."""

    def __init__(self, app: ASGIApp, finished: Callable[[Call], None]) -> None:
        self._app = app
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call.begin(scope)

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *call.reply_headers]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
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
            # frames that hold the error would be held by it: sixty objects for the garbage collector
            error.__traceback__ = None
            await answer(scope, receive, send)


class BodyLimit:
    """Refuses bodies over the limit, and encodings that could hide a larger one."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = call_of(scope).sent
            self._check_encoding(sent.get("content-encoding", "identity"))
            declared = sent.get("content-length")
            if declared is None:  # it has none, or it comes in chunks
                receive = self._counting(receive)
            else:
                self._check_size(int(declared))  # the server knows it is one, and sends no more
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


def _bug(call: Call) -> InternalError:
    return InternalError(
        f"the gateway met a bug of its own; its log says more under request {call.request_id}"
    )


def _log(call: Call, scope: Scope) -> None:
    level = _level(call, scope)
    if not _access.isEnabledFor(level):
        return
    line: dict[str, object] = {
        "request_id": call.request_id,
        "method": scope["method"],
        "path": scope["path"][:_LONGEST_PATH],
        "code": call.status,
        "ms": _ms(call.seconds),
    }
    if call.is_rerank:
        line |= _scoring(call)
    if call.trace:
        line["trace_id"] = call.trace.trace_id
    # who calls is not in the line, and finding it out costs as much as the line
    record = _access.makeRecord(_access.name, level, "", 0, "request", (), None)
    vars(record).update(line | call.notes)
    _access.handle(record)


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
