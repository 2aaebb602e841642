"""Middleware around every endpoint: request id, log line, errors, size of the body.

Pure ASGI, from the outside in:

1. `Observe` creates the `RequestContext`, puts the request id on every reply (also on errors and
   unknown paths), writes the access log and reports the request to the accounting.
2. `Errors` turns an exception from further in into a reply. No other middleware here does.
3. `BodyLimit` refuses a body that is too large, before reading it where its length is declared.
   The server discards the rest of a refused body, so that the client can read the refusal.

The log has the path of a request, cut and escaped, but never a query, a document or a key.
"""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.errors import BodyTooLarge, GatewayError, InternalError, UnsupportedMediaType
from gateway.http.request_context import RequestContext, context_of
from gateway.http.routes import PROBES

CLIENT_LEFT = 499
"""The status that is counted when the client left before the reply, as in nginx."""

HTTP_OK = 200
_LONGEST_PATH = 200
_logger = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")


class Observe:
    """Creates the context of a request, logs the request and reports it, however it ended."""

    def __init__(self, app: ASGIApp, finished: Callable[[RequestContext], None]) -> None:
        self._app = app
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext.begin(scope)

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *context.raw_reply_headers]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass
        finally:
            context.status = context.status or CLIENT_LEFT
            self._finished(context)
            _log(context, scope)


class Errors:
    """Turns an exception from further in into an error reply."""

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
            context = context_of(scope)
            if not isinstance(error, GatewayError):
                _logger.exception("request %s met a bug", context.request_id)
            if context.status:  # the reply has started, so it can only be cut off
                raise
            answer = self._render(
                scope, error if isinstance(error, GatewayError) else _bug(context)
            )
            # The error would keep the frames that keep the error alive: a cycle of sixty objects
            # for the garbage collector.
            error.__traceback__ = None
            await answer(scope, receive, send)


class BodyLimit:
    """Refuses bodies over the limit, and encodings that could hide a larger one.

    Attributes:
        limit_bytes: the limit; a reload changes it.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = context_of(scope).headers
            self._check_encoding(headers.get("content-encoding", "identity"))
            declared = headers.get("content-length")
            if declared is None:  # no body, or a chunked one
                receive = self._counting(receive)
            else:
                self._check_size(int(declared))  # the server has checked it, and reads no more
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
        if size > self.limit_bytes:
            raise BodyTooLarge(
                f"the body has {size} bytes or more, the limit is {self.limit_bytes} "
                "(limits.body_bytes): send the documents in several requests"
            )

    @staticmethod
    def _check_encoding(encoding: str) -> None:
        if encoding.strip().lower() not in {"", "identity"}:
            raise UnsupportedMediaType(
                f"content encoding {encoding[:40]!r} is not read here: send the body as it is",
                param="Content-Encoding",
            )


def _bug(context: RequestContext) -> InternalError:
    return InternalError(
        "the gateway met a bug of its own; its log has the details under request "
        f"{context.request_id}"
    )


def _log(context: RequestContext, scope: Scope) -> None:
    level = _level(context, scope)
    if not _access.isEnabledFor(level):
        return
    line: dict[str, object] = {
        "request_id": context.request_id,
        "method": scope["method"],
        "path": (context.sent_path or scope["path"])[:_LONGEST_PATH],
        "code": context.status,
        "ms": _ms(context.seconds),
    }
    if context.is_rerank:
        line |= _scoring_fields(context)
    if context.trace:
        line["trace_id"] = context.trace.trace_id
    # `makeRecord` skips the look-up of the calling code, which the line does not show and which
    # costs as much as the line itself.
    record = _access.makeRecord(_access.name, level, "", 0, "request", (), None)
    vars(record).update(line | context.log_fields)
    _access.handle(record)


def _scoring_fields(context: RequestContext) -> dict[str, object]:
    """Return what was scored for a request, and the time that it took."""
    return {
        "model": context.model,
        "api": context.dialect.name,
        "documents": context.documents,
        "tokens": context.tokens,
        "queue_ms": _ms(context.timeline.longest_wait_seconds),
        "compute_ms": _ms(context.timeline.compute_seconds),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _level(context: RequestContext, scope: Scope) -> int:
    """Return the log level of a request; successful probes would hide all others."""
    is_probe = scope["method"] == "GET" and scope["path"] in PROBES
    return logging.DEBUG if is_probe and context.status == HTTP_OK else logging.INFO
