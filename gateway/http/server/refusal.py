"""An error as a whole HTTP reply, for a request that does not reach the app. Pure."""

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.dialects import Dialect, MediaType, encode
from gateway.domain.errors import GatewayError
from gateway.http.server.head import Header

RETRY_SECONDS = 1
"""The Retry-After of a 503 whose error has none."""


def refusal(
    error: GatewayError, dialect: Dialect, request_id: str, headers: Sequence[Header]
) -> bytes:
    """Return an error reply that closes its connection, in the format of a dialect."""
    body = encode(dialect.render_error(error, request_id), MediaType.JSON)
    lines = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
        (b"request-id", request_id.encode()),
    ]
    if error.status == 503:
        seconds = error.retry_after_seconds or RETRY_SECONDS
        lines.append((b"retry-after", str(seconds).encode()))
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    return STATUS_LINE[error.status] + head + b"\r\n" + body
