"""HTTP replies and errors: JSON or MessagePack as the client prefers, in its dialect."""

from collections.abc import Mapping
from difflib import get_close_matches

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.dialects import ALL_PATHS, MediaType, encode, reply_media_type, request_media_type
from gateway.domain.errors import (
    GatewayError,
    MethodNotAllowed,
    MissingKey,
    NotFound,
    Unauthorized,
    UnsupportedMediaType,
)
from gateway.domain.file_names import without_files
from gateway.http.request_context import context_of
from gateway.http.routes import READS

_RETRY_SECONDS = 1  # the Retry-After of a 429 or 503 whose error has none
_LONGEST_PATH = 200
_SERVER_ERRORS = 500


def reply(
    scope: Scope, value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a reply of the media type that the client wants."""
    media_type = _reply_media_type(context_of(scope).headers)
    return Response(encode(value, media_type), status, headers, media_type=media_type.value)


def _reply_media_type(headers: Mapping[str, str]) -> MediaType:
    try:
        asked = request_media_type(headers.get("content-type", ""))
    except UnsupportedMediaType:
        asked = MediaType.JSON
    return reply_media_type(headers.get("accept", ""), asked)


def error_reply(
    scope: Scope, error: GatewayError, headers: dict[str, str] | None = None
) -> Response:
    """Return an error in the format of the request's dialect."""
    context = context_of(scope)
    headers = dict(headers or {})
    if error.status in {429, 503}:
        headers["retry-after"] = str(error.retry_after_seconds or _RETRY_SECONDS)
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = _challenge(error)
    is_operator = context.is_operator or (context.key is not None and context.key.admin)
    shown = _shown(error, is_operator=is_operator)
    return reply(
        scope, context.dialect.render_error(shown, context.request_id), error.status, headers
    )


def _shown(error: GatewayError, *, is_operator: bool) -> GatewayError:
    """Return an error as its reader may see it: its cause and files are for the operator."""
    if is_operator:
        message = f"{error.message} ({error.cause})" if error.cause else error.message
    elif error.status < _SERVER_ERRORS:
        return error  # it is about what the client has sent
    else:
        message = without_files(error.message)
    return type(error)(message, param=error.param, retry_after_seconds=error.retry_after_seconds)


def _challenge(error: Unauthorized) -> str:
    """Return the `WWW-Authenticate` header of a 401, as RFC 6750 defines it."""
    wrong = "" if isinstance(error, MissingKey) else ', error="invalid_token"'
    return f'Bearer realm="rerank-gateway"{wrong}'


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a request that the router refuses: its path is unknown or its method wrong."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request.scope["path"], headers.get("Allow", ""))
    refusal = _REFUSALS[error.status_code](request, headers)
    return error_reply(request.scope, refusal, headers)


def _allowed(path: str, by_router: str) -> str:
    """Return the methods of a path; a rerank path may be readable, too."""
    read = {"GET", "HEAD"} if path in READS else set()
    return ", ".join(sorted({*by_router.split(", "), *read} - {""}))


def _not_found(request: Request, _headers: Mapping[str, str]) -> GatewayError:
    path = request.scope["path"][:_LONGEST_PATH]
    known = [path for path in (*ALL_PATHS, *READS) if "{" not in path]
    close = get_close_matches(path, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "GET / lists the endpoints"
    return NotFound(f"there is nothing at {path}: {hint}")


def _wrong_method(request: Request, headers: Mapping[str, str]) -> GatewayError:
    path = request.scope["path"][:_LONGEST_PATH]
    return MethodNotAllowed(f"{request.method} is not allowed at {path}: use {headers['Allow']}")


_REFUSALS = {404: _not_found, 405: _wrong_method}
