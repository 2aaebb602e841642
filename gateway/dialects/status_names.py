"""Names of errors by HTTP status, as Google's APIs and those modelled on them have them."""

from gateway.domain.errors import GatewayError

_NAMES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SERVER_ERRORS = 500


def status_name(error: GatewayError) -> str:
    """Return the name of an error."""
    fallback = "INVALID_ARGUMENT" if error.status < _SERVER_ERRORS else "INTERNAL"
    return _NAMES.get(error.status, fallback)
