"""Errors of a request. The class determines what the caller can do.

ClientError
├── InvalidRequest        400, 404, 413, ...: the request must change; also refused before sending
│   └── UnknownModel      404 model_not_found
├── Unauthorized          401, 403: another key is needed
├── Overloaded            429, or 503 overloaded: retried, still too much work
├── Unavailable           503: retried, no replica can score now
├── ServerFault           other 5xx, and responses that are no rerank reply
├── DeadlineExceeded      504, or the timeout of the call
└── ConnectionFailed      retried, no response, or the connection was cut
"""


class ClientError(Exception):
    """A request that got no scores.

    Attributes:
        message: the server's error message, or a description of the failure.
        status: HTTP status; `None` without a response.
        code: the server's stable error code, if it sent one.
        request_id: id of the request in the server's log, if there was a response.
        retry_after_seconds: the server's `Retry-After`, if it sent one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        known = {"status": self.status, "code": self.code, "request_id": self.request_id}
        notes = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
        return f"{self.message} ({notes})" if notes else self.message


class InvalidRequest(ClientError):
    """The request must change before it can succeed."""


class UnknownModel(InvalidRequest):
    """The server has no model of this name."""


class Unauthorized(ClientError):
    """The key is missing, wrong, or does not permit this."""


class Overloaded(ClientError):
    """The server's queue is full."""


class Unavailable(ClientError):
    """No replica can score now."""


class ServerFault(ClientError):
    """The server failed, or is no rerank server."""


class DeadlineExceeded(ClientError):
    """The scores did not arrive before the deadline."""


class ConnectionFailed(ClientError):
    """The server sent no response."""


RETRIED = (Overloaded, Unavailable, ConnectionFailed)
"""Errors after which the same request may succeed a moment later."""

_BY_CODE: dict[str, type[ClientError]] = {"model_not_found": UnknownModel, "overloaded": Overloaded}
_BY_STATUS: dict[int, type[ClientError]] = {
    401: Unauthorized,
    403: Unauthorized,
    408: DeadlineExceeded,
    429: Overloaded,
    503: Unavailable,
    504: DeadlineExceeded,
}


def error_class(status: int, code: str | None) -> type[ClientError]:
    """Return the exception class for a response with this status and code."""
    fallback = InvalidRequest if 400 <= status < 500 else ServerFault
    return _BY_CODE.get(code or "") or _BY_STATUS.get(status, fallback)
