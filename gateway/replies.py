"""Replies and errors as HTTP: JSON or MessagePack as the client prefers, in its dialect's words."""

from collections.abc import Mapping
from difflib import get_close_matches

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.call import call_of
from gateway.dialects import PATHS, Form, encode, reply_form, request_form
from gateway.endpoints import READS
from gateway.errors import (
    GatewayError,
    MethodNotAllowed,
    MissingKey,
    NotFound,
    Unauthorized,
    UnsupportedMediaType,
)

_RETRY_SECONDS = 1  # what 429 and 503 say when the error does not know better
_LONGEST_PATH = 200


def reply(
    scope: Scope, value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a reply in the form that the client wants."""
    form = _reply_form(call_of(scope).sent)
    return Response(encode(value, form), status, headers, media_type=form.value)


def _reply_form(sent: Mapping[str, str]) -> Form:
    try:
        asked = request_form(sent.get("content-type", ""))
    except UnsupportedMediaType:
        asked = Form.JSON
    return reply_form(sent.get("accept", ""), asked)


def error_reply(
    scope: Scope, error: GatewayError, headers: dict[str, str] | None = None
) -> Response:
    """Return an error in the words of the request's dialect."""
    call = call_of(scope)
    headers = dict(headers or {})
    if error.status in {429, 503}:
        headers["retry-after"] = str(error.retry_after_seconds or _RETRY_SECONDS)
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = _challenge(error)
    return reply(scope, call.dialect.render_error(error, call.request_id), error.status, headers)


def _challenge(error: Unauthorized) -> str:
    """Say what kind of key is wanted, as RFC 6750 has it."""
    wrong = "" if isinstance(error, MissingKey) else ', error="invalid_token"'
    return f'Bearer realm="rerank-gateway"{wrong}'


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request.scope["path"], headers.get("Allow", ""))
    refusal = _REFUSALS[error.status_code](request, headers)
    return error_reply(request.scope, refusal, headers)


def _allowed(path: str, by_router: str) -> str:
    """Return the methods of a path, also of one that takes requests and can be read."""
    read = {"GET", "HEAD"} if path in READS else set()
    return ", ".join(sorted({*by_router.split(", "), *read} - {""}))


def _not_found(request: Request, _headers: Mapping[str, str]) -> GatewayError:
    path = request.scope["path"][:_LONGEST_PATH]
    known = [path for path in (*PATHS, *READS) if "{" not in path]
    close = get_close_matches(path, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "GET / lists the endpoints"
    return NotFound(f"there is nothing at {path}: {hint}")


def _wrong_method(request: Request, headers: Mapping[str, str]) -> GatewayError:
    path = request.scope["path"][:_LONGEST_PATH]
    return MethodNotAllowed(f"{request.method} is not allowed at {path}: use {headers['Allow']}")


_REFUSALS = {404: _not_found, 405: _wrong_method}
