"""The error tree. Each class has its HTTP status and its stable code, by whose fault it is.

GatewayError
├── ClientError                     4xx: the request must change
│   ├── InvalidRequest              400 invalid_request
│   │   ├── MalformedBody           400 malformed_body
│   │   └── Quarantined             400 quarantined
│   ├── Unauthorized                401
│   │   ├── MissingKey              401 missing_api_key
│   │   ├── InvalidKey              401 invalid_api_key
│   │   ├── ExpiredKey              401 expired_api_key
│   │   └── RevokedKey              401 revoked_api_key
│   ├── Forbidden                   403 forbidden
│   │   └── ModelNotAllowed         403 model_not_allowed
│   ├── NotFound                    404 not_found
│   │   └── UnknownModel            404 model_not_found
│   ├── MethodNotAllowed            405 method_not_allowed
│   ├── RequestTimeout              408 request_timeout
│   ├── BodyTooLarge                413 body_too_large
│   ├── UnsupportedMediaType        415 unsupported_media_type
│   ├── QuotaExceeded               429
│   │   ├── TooManyRequests         429 rate_limit_exceeded
│   │   └── TooManyAtOnce           429 concurrency_limit_exceeded
│   └── HeadersTooLarge             431 headers_too_large
└── ServerError                     5xx: the same request may succeed later
    ├── EngineFailed                500 engine_error
    ├── InternalError               500 internal_error
    ├── Overloaded                  503 overloaded
    ├── RetryBudgetSpent            503 retry_budget
    ├── ModelUnavailable            503 model_unavailable
    ├── ModelDrained                503 model_drained
    ├── ShuttingDown                503 shutting_down
    ├── TooManyConnections          503 too_many_connections
    └── DeadlineExceeded            504 deadline_exceeded

One handler renders them all, in the error shape of the request's dialect. 422 is never used: some
clients crash on it.
"""

from typing import ClassVar


class GatewayError(Exception):
    """An error that the client gets.

    Attributes:
        status: the HTTP status.
        code: a stable name for programs.
        kind: `invalid_request_error`, `authentication_error`, `permission_error`,
            `rate_limit_error` or `server_error`: the types of OpenAI's clients.
        message: the mistake, its place, the limit, and the remedy.
        param: the field at fault, if there is one.
        retry_after_seconds: the time until a retry makes sense, if it does.
        cause: the reason inside the gateway, for the operator only: it may name files.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: int | None = None,
        cause: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.cause = cause


class ClientError(GatewayError):
    """The request must change before it can succeed."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class InvalidRequest(ClientError):
    """A field is missing, has the wrong type, or is over a limit."""


class MalformedBody(InvalidRequest):
    """The body does not have the form of its content type."""

    code = "malformed_body"


class Quarantined(InvalidRequest):
    """One of its pairs has ended the shards that scored it."""

    code = "quarantined"


class Unauthorized(ClientError):
    """The gateway requires a key, and the request has no valid one."""

    status = 401
    # for LiteLLM `invalid_request_error` is a 400, whatever the status
    kind = "authentication_error"


class MissingKey(Unauthorized):
    """The request has no key."""

    code = "missing_api_key"


class InvalidKey(Unauthorized):
    """The key in the request does not exist."""

    code = "invalid_api_key"


class ExpiredKey(Unauthorized):
    """The key has expired; only a request with the whole key gets this error."""

    code = "expired_api_key"


class RevokedKey(Unauthorized):
    """The key was revoked; only a request with the whole key gets this error."""

    code = "revoked_api_key"


class Forbidden(ClientError):
    """The client may not make this request."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class ModelNotAllowed(Forbidden):
    """The key is valid, but not for this model."""

    code = "model_not_allowed"


class NotFound(ClientError):
    """The path does not exist."""

    status = 404
    code = "not_found"


class UnknownModel(NotFound):
    """No model has this name."""

    code = "model_not_found"


class MethodNotAllowed(ClientError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(ClientError):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"


class BodyTooLarge(ClientError):
    """The body is over the limit."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaType(ClientError):
    """The gateway does not read this content type or encoding."""

    status = 415
    code = "unsupported_media_type"


class QuotaExceeded(ClientError):
    """The caller has reached a limit of its key; the same request may succeed later."""

    status = 429
    kind = "rate_limit_error"


class TooManyRequests(QuotaExceeded):
    """More requests per minute than the key allows."""

    code = "rate_limit_exceeded"


class TooManyAtOnce(QuotaExceeded):
    """More requests at a time than the key allows."""

    code = "concurrency_limit_exceeded"


class HeadersTooLarge(ClientError):
    """Request line and headers are over the limit."""

    status = 431
    code = "headers_too_large"


class ServerError(GatewayError):
    """The request was fine."""


class EngineFailed(ServerError):
    """The engine could not score one of this request's pairs."""

    code = "engine_error"


class InternalError(ServerError):
    """A bug of the gateway."""


class Overloaded(ServerError):
    """More work is waiting than the deadline allows."""

    status = 503
    code = "overloaded"


class RetryBudgetSpent(ServerError):
    """The shard that scored it ended, and too many jobs were scored again lately."""

    status = 503
    code = "retry_budget"


class ModelUnavailable(ServerError):
    """No shard of this model can score now."""

    status = 503
    code = "model_unavailable"


class ModelDrained(ServerError):
    """The operator has taken this model out of service."""

    status = 503
    code = "model_drained"


class ShuttingDown(ServerError):
    """The gateway is stopping."""

    status = 503
    code = "shutting_down"


class TooManyConnections(ServerError):
    """There is no room for another connection, from this address or at all."""

    status = 503
    code = "too_many_connections"


class DeadlineExceeded(ServerError):
    """The scores did not come in time."""

    status = 504
    code = "deadline_exceeded"
