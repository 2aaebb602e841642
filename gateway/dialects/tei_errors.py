"""The error reply of text-embeddings-inference, which two dialects share."""

from msgspec import Struct

from gateway.domain.errors import GatewayError

_ERROR_TYPES = {
    "overloaded": "Overloaded",
    "rate_limit_exceeded": "Overloaded",
    "concurrency_limit_exceeded": "Overloaded",
    "model_unavailable": "Unhealthy",
    "shutting_down": "Unhealthy",
}
"""TEI's error types by error code; the others are `Validation` (4xx) or `Backend` (5xx)."""


class TeiError(Struct):
    """TEI's error, and the fields that clients of other APIs read."""

    error: str
    error_type: str
    message: str
    detail: str


def tei_error(error: GatewayError) -> TeiError:
    """Return an error in TEI's form."""
    fallback = "Validation" if error.status < 500 else "Backend"
    error_type = _ERROR_TYPES.get(error.code, fallback)
    return TeiError(error.message, error_type, error.message, error.message)
