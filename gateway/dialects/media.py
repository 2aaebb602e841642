"""JSON and MessagePack: which of the two a request is, which its reply should be, and writing it.

A reply is MessagePack when `Accept` prefers it, or when the request was MessagePack and `Accept`
leaves the choice to us. What the client cannot accept at all is answered in JSON: a reply in the
wrong form helps more than none.
"""

from enum import Enum
from functools import lru_cache

import msgspec

from gateway.errors import UnsupportedMediaType


class Form(Enum):
    """How a body is written; the value is the media type of our replies."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


FORMS = {
    "": Form.JSON,  # no content type
    "application/json": Form.JSON,
    "text/json": Form.JSON,
    "application/msgpack": Form.MSGPACK,
    "application/x-msgpack": Form.MSGPACK,
    "application/vnd.msgpack": Form.MSGPACK,
}

_ACCEPTED = "application/json or application/msgpack"
_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()
_REMEMBERED = 64  # headers; clients say the same again and again
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}


@lru_cache(_REMEMBERED)
def request_form(content_type: str) -> Form:
    """Return the form that a `Content-Type` names.

    Raises:
        UnsupportedMediaType: neither JSON in UTF-8 nor MessagePack.
    """
    kind, parameters = _split(content_type)
    form = Form.JSON if kind.endswith("+json") else FORMS.get(kind)
    if form is None:
        raise UnsupportedMediaType(
            f"content type {kind[:80]!r} is not read here: send {_ACCEPTED}", param="Content-Type"
        )
    charset = parameters.get("charset", "")
    if form is Form.JSON and charset not in _CHARSETS:
        raise UnsupportedMediaType(
            f"charset {charset[:40]!r} is not read here: send JSON as UTF-8", param="Content-Type"
        )
    return form


@lru_cache(_REMEMBERED)
def reply_form(accept: str, request: Form) -> Form:
    """Return the form that an `Accept` header wants of the reply to a request in that form."""
    best, best_quality = request if not accept.strip() else Form.JSON, 0.0
    for entry in accept.split(","):
        kind, parameters = _split(entry)
        form = request if kind in {"*/*", "application/*"} else FORMS.get(kind or "?")
        quality = _quality(parameters.get("q", "1"))
        if form is not None and quality > best_quality:
            best, best_quality = form, quality
    return best


def prefers_page(accept: str) -> bool:
    """Return whether an `Accept` header asks for a page, as browsers do, before any form of ours."""
    page, other = 0.0, 0.0
    for entry in accept.split(","):
        kind, parameters = _split(entry)
        quality = _quality(parameters.get("q", "1"))
        if kind == "text/html":
            page = max(page, quality)
        elif kind in FORMS:
            other = max(other, quality)
    return page > 0 and page >= other


def encode(value: object, form: Form) -> bytes:
    """Write a reply of structs, lists, dicts, strings and finite numbers."""
    return _JSON.encode(value) if form is Form.JSON else _MSGPACK.encode(value)


def _split(header: str) -> tuple[str, dict[str, str]]:
    kind, *rest = header.split(";")
    pairs = (one.partition("=") for one in rest)
    values = {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs}
    return kind.strip().lower(), values


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
