"""What can go wrong with a request, as the caller sees it. The class says what to do about it.

ClientError
├── InvalidRequest        400, 404, 413, ...: the request must change; also refused before sending
│   └── UnknownModel      404 model_not_found
├── Unauthorized          401, 403: another key is needed
├── Overloaded            429, or 503 overloaded: tried again, still too much work
├── Unavailable           503: tried again, nothing can score now
├── ServerFault           other 5xx, and answers that are no rerank reply
├── DeadlineExceeded      504, or the timeout of the call
└── ConnectionFailed      tried again, nothing answers, or it hangs up
"""


class ClientError(Exception):
    """A request that got no scores.

    Attributes:
        message: what was wrong, in the server's words if it said any.
        status: the HTTP status; `None` when there was no answer.
        code: the server's stable name for the error, if it gave one.
        request_id: the id under which the server's log has it, if there was an answer.
        retry_after_seconds: when the server thinks that trying again makes sense, if it said.
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
    """No model there has this name."""


class Unauthorized(ClientError):
    """The key is missing, wrong, or not good for this."""


class Overloaded(ClientError):
    """More work is waiting than the server takes."""


class Unavailable(ClientError):
    """Nothing can score now."""


class ServerFault(ClientError):
    """The server failed, or is no rerank server."""


class DeadlineExceeded(ClientError):
    """The scores did not come in time."""


class ConnectionFailed(ClientError):
    """There was no answer at all."""


RETRIED = (Overloaded, Unavailable, ConnectionFailed)
"""What is tried again: the same request may succeed a moment later."""

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
    """Return what an answer with this status and code is raised as."""
    fallback = InvalidRequest if 400 <= status < 500 else ServerFault
    return _BY_CODE.get(code or "") or _BY_STATUS.get(status, fallback)
