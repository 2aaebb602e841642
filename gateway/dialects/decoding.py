"""Decoding of a body into a `RerankBody` in one pass, with errors in the client's field names.

A bare array is short for `{"pairs": [...]}`.
"""

import re
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from gateway.dialects.media_types import MediaType
from gateway.dialects.request_body import Pair, RerankBody
from gateway.domain.errors import InvalidRequest, MalformedBody

T = TypeVar("T")
B = TypeVar("B", bound=Struct)

Decoder: TypeAlias = msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]

_BODIES: dict[MediaType, Decoder[RerankBody | list[Pair]]] = {
    MediaType.JSON: msgspec.json.Decoder(RerankBody | list[Pair]),
    MediaType.MSGPACK: msgspec.msgpack.Decoder(RerankBody | list[Pair]),
}
_FIELDS: dict[MediaType, Decoder[dict[str, Raw]]] = {
    MediaType.JSON: msgspec.json.Decoder(dict[str, Raw]),
    MediaType.MSGPACK: msgspec.msgpack.Decoder(dict[str, Raw]),
}
_HINTS = {
    MediaType.JSON: "send JSON in UTF-8 without a byte order mark, NaN, Infinity or lone "
    "surrogates",
    MediaType.MSGPACK: "send one MessagePack map with strings in UTF-8",
}


def decode(raw: bytes, media_type: MediaType) -> RerankBody:
    """Decode a body.

    Raises:
        MalformedBody: the body is not valid JSON or MessagePack.
        InvalidRequest: a field has the wrong type; `param` is the field in the client's spelling.
    """
    return decode_as(_BODIES[media_type], raw, media_type)


def decode_as(
    decoder: Decoder[B | list[Pair]], raw: bytes, media_type: MediaType
) -> B | RerankBody:
    """Decode a body as `decode` does, with another decoder."""
    try:
        body = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error)) from None
    except RecursionError:
        raise MalformedBody(
            "the body is nested too deeply: send plain lists of documents"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = media_type.name.replace("MSGPACK", "MessagePack")
        raise MalformedBody(
            f"the body is not valid {name} ({error}): {_HINTS[media_type]}"
        ) from None
    return RerankBody(pairs=body) if isinstance(body, list) else body


def field_names(raw: bytes, media_type: MediaType) -> frozenset[str]:
    """Return the top-level field names of a body that `decode` rejected, empty if undecodable.

    They select the dialect of the error reply.
    """
    return frozenset(raw_fields(raw, media_type))


def raw_fields(raw: bytes, media_type: MediaType) -> dict[str, Raw]:
    """Return the top-level fields of a body, not decoded; empty if the body is no object."""
    try:
        return _FIELDS[media_type].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


_PATH = re.compile(r"`(?:key` in `)?\$([^`]*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number with a fraction",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "bytes": "raw bytes",
    "null": "null",
}


def _wrong_type(detail: str) -> InvalidRequest:
    """Translate an error of msgspec into a message with the client's field path."""
    found = _PATH.search(detail)
    path = found.group(1).removeprefix(".") if found else ""
    if path.startswith("["):
        path = f"pairs{path}"
    if missing := _MISSING.search(detail):
        path = f"{path}.{missing.group(1)}"
        return InvalidRequest(f"{path} is missing", param=path)
    reason = detail.partition(" - at ")[0].lower()
    if types := _EXPECTED.match(detail):
        wanted = [word for word in types.group(1).split(" | ") if word != "null"]
        words = " or ".join(_WORDS.get(word, word) for word in wanted)
        reason = f"expected {words}, got {_WORDS.get(types.group(2), types.group(2))}"
    return InvalidRequest(f"{path or 'body'}: {reason}", param=path or None)
