"""JSON and MessagePack: content negotiation, and the encoding of replies.

A reply is MessagePack when `Accept` prefers it, or when the request was MessagePack and `Accept`
permits both. A client that accepts neither gets JSON: a reply of the wrong type helps more than
a 406.
"""

from collections.abc import Callable
from enum import Enum
from functools import lru_cache

import msgspec

from gateway.domain.errors import UnsupportedMediaType


class MediaType(Enum):
    """Encoding of a body; the value is the `Content-Type` of replies."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


FORMS = {
    "": MediaType.JSON,  # no content type
    "application/json": MediaType.JSON,
    "text/json": MediaType.JSON,
    "application/msgpack": MediaType.MSGPACK,
    "application/x-msgpack": MediaType.MSGPACK,
    "application/vnd.msgpack": MediaType.MSGPACK,
}

MESSAGEPACK_STARTS = frozenset(bytes([byte]) for byte in (*range(0x80, 0xA0), *range(0xDC, 0xE0)))
"""First bytes of maps and lists in MessagePack; no text begins with one of them. MOSEC's clients
send MessagePack without a content type."""

_ACCEPTED = "application/json or application/msgpack"
ENCODERS: dict[MediaType, Callable[[object], bytes]] = {
    MediaType.JSON: msgspec.json.Encoder().encode,
    MediaType.MSGPACK: msgspec.msgpack.Encoder().encode,
}
"""Encoders of a reply of structs, lists, dicts, strings and finite numbers."""

_REMEMBERED = 64  # headers; clients repeat a few values
_MOST_TYPES = 32  # of an Accept header that are read; browsers send eight
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}


@lru_cache(_REMEMBERED)
def request_media_type(content_type: str) -> MediaType:
    """Return the media type of a `Content-Type` header.

    Raises:
        UnsupportedMediaType: the type is neither JSON in UTF-8 nor MessagePack.
    """
    kind, parameters = _split(content_type)
    form = MediaType.JSON if kind.endswith("+json") else FORMS.get(kind)
    if form is None:
        raise UnsupportedMediaType(
            f"content type {kind[:80]!r} is not read here: send {_ACCEPTED}", param="Content-Type"
        )
    charset = parameters.get("charset", "")
    if form is MediaType.JSON and charset not in _CHARSETS:
        raise UnsupportedMediaType(
            f"charset {charset[:40]!r} is not read here: send JSON as UTF-8", param="Content-Type"
        )
    return form


@lru_cache(_REMEMBERED)
def reply_media_type(accept: str, request: MediaType) -> MediaType:
    """Return the media type of the reply, by the `Accept` header and that of the request."""
    best, best_quality = request if not accept.strip() else MediaType.JSON, 0.0
    for entry in accept.split(",", _MOST_TYPES)[:_MOST_TYPES]:
        kind, parameters = _split(entry)
        form = request if kind in {"*/*", "application/*"} else FORMS.get(kind or "?")
        quality = _quality(parameters.get("q", "1"))
        if form is not None and quality > best_quality:
            best, best_quality = form, quality
    return best


def prefers_html(accept: str) -> bool:
    """Return whether an `Accept` header prefers HTML to JSON and MessagePack, as browsers do."""
    page, other = 0.0, 0.0
    for entry in accept.split(",", _MOST_TYPES)[:_MOST_TYPES]:
        kind, parameters = _split(entry)
        quality = _quality(parameters.get("q", "1"))
        if kind == "text/html":
            page = max(page, quality)
        elif kind in FORMS:
            other = max(other, quality)
    return page > 0 and page >= other


def prefers_json(accept: str) -> bool:
    """Return whether an `Accept` header names JSON and prefers no kind of text to it."""
    json, text = 0.0, 0.0
    for entry in accept.split(",", _MOST_TYPES)[:_MOST_TYPES]:
        kind, parameters = _split(entry)
        quality = _quality(parameters.get("q", "1"))
        if FORMS.get(kind or "?") is MediaType.JSON:
            json = max(json, quality)
        elif kind.startswith(("text/", "application/openmetrics-text")):
            text = max(text, quality)
    return json > 0 and json >= text


def encode(value: object, form: MediaType) -> bytes:
    """Encode a reply."""
    return ENCODERS[form](value)


def _split(header: str) -> tuple[str, dict[str, str]]:
    kind, *rest = header.split(";")
    pairs = (parameter.partition("=") for parameter in rest[:_MOST_TYPES])
    values = {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs}
    return kind.strip().lower(), values


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
