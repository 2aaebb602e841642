"""From a body to a request in the dialect of its path: tolerant of types, and with warnings.

A body of known fields with the right types is decoded in one pass. Any other is decoded field by
field: numbers and booleans may have every spelling that pydantic accepts, and fields that the
dialect does not read may have any type. Objects that some APIs put around fields are taken away
first. A warning names the fields without effect.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, defstruct
from msgspec.structs import asdict, replace

from gateway.dialects.base import Dialect, Limits
from gateway.dialects.body_structure import check_structure
from gateway.dialects.coercion import to_boolean, to_integer
from gateway.dialects.decoding import Decoder, decode, decode_as, field_names, raw_fields
from gateway.dialects.ignored_fields import hint_for, warning_of
from gateway.dialects.media_types import MediaType, encode
from gateway.dialects.paths import RerankPath
from gateway.dialects.request_body import BOOLEAN_FIELDS, INTEGER_FIELDS, Pair, RerankBody
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import RerankRequest


class _KnownFields(RerankBody, kw_only=True, forbid_unknown_fields=True):
    """A body without unknown fields."""


_JSON = msgspec.json.Decoder(_KnownFields | list[Pair])
_MSGPACK = msgspec.msgpack.Decoder(_KnownFields | list[Pair])

_DECODERS = {
    MediaType.JSON: msgspec.json.Decoder,
    MediaType.MSGPACK: msgspec.msgpack.Decoder,
}

_COERCED = frozenset((*INTEGER_FIELDS, *BOOLEAN_FIELDS))
_LARGEST = 2**31 - 1  # of an integer of any spelling; no list and no text is as long

_LONGEST_COERCED = 5000  # bytes; longer than an integer that Python converts
_LONGEST_NUMBER = 32  # characters of a number that means an integer

_EMPTY = {
    MediaType.JSON: {b"null", b"false", b"0", b'""', b"[]", b"{}", b'"{}"'},
    MediaType.MSGPACK: {b"\xc0", b"\xc2", b"\x00", b"\xa0", b"\x90", b"\x80", b"\xa2{}"},
}
"""Values that request nothing, so that their field needs no warning. Xinference's client sends an
object without fields as a string."""
_LONGEST_EMPTY = 5


class DecodedRequest(Struct, frozen=True, gc=False):
    """A body and its dialect.

    Attributes:
        dialect: the dialect, by path and fields.
        body: the fields of the body.
        ignored: names of the fields without effect in this dialect.
    """

    dialect: Dialect
    body: RerankBody
    ignored: tuple[str, ...] = ()

    def parse(self, limits: Limits) -> RerankRequest:
        """Return the request, with a warning about fields without effect.

        Raises:
            InvalidRequest: a field is missing, wrong, or over a limit.
        """
        try:
            request = self.dialect.parse(self.body, limits)
        except InvalidRequest as error:
            hint = hint_for(error.param, self.ignored, self.dialect.contract.known)
            if not hint:
                raise
            raise InvalidRequest(f"{error.message}; {hint}", param=error.param) from None
        if not self.ignored:
            return request
        known = self.dialect.contract.known
        return replace(
            request,
            warnings=(*request.warnings, warning_of(self.ignored, known, request.fields_set)),
        )


def parse_body(
    raw: bytes,
    media_type: MediaType,
    path: RerankPath,
    limits: Limits,
    found: Callable[[Dialect], object],
) -> RerankRequest:
    """Return the request of a body.

    Args:
        raw: the body.
        media_type: its format.
        path: the path that it was sent to.
        limits: limits of the request.
        found: is called with the dialect of the request, also of a body that is not valid.

    Raises:
        InvalidRequest: the body is not valid, or over a limit.
    """
    check_structure(raw, media_type)
    try:
        decoded = decode_request(raw, media_type, path)
    except InvalidRequest as error:
        dialect = path.dialect_for(field_names(raw, media_type))
        found(dialect)
        hint = dialect.contract.hints.get((error.param or "").partition("[")[0])
        if hint is None:
            raise
        raise InvalidRequest(f"{error.message}: {hint}", param=error.param) from None
    found(decoded.dialect)
    return decoded.parse(limits)


def decode_request(raw: bytes, media_type: MediaType, path: RerankPath) -> DecodedRequest:
    """Decode a body that was sent to a path.

    Raises:
        MalformedBody: the body is not valid JSON or MessagePack.
        InvalidRequest: a field of the dialect has the wrong type.
    """
    decoder = _JSON if media_type is MediaType.JSON else _MSGPACK
    try:
        found = decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_by_field(raw, media_type, path)
    body = RerankBody(pairs=found) if isinstance(found, list) else found
    fields_set = body.fields_set
    dialect = path.dialect_for(fields_set)
    unread = fields_set - dialect.contract.known
    if not unread:
        return DecodedRequest(dialect, body)
    return DecodedRequest(dialect, body, tuple(n for n in sorted(unread) if getattr(body, n)))


def _decode_by_field(raw: bytes, media_type: MediaType, path: RerankPath) -> DecodedRequest:
    fields = raw_fields(raw, media_type)
    dialect = path.dialect_for(frozenset(fields))
    if not dialect.contract.nested.keys().isdisjoint(fields):
        fields = _flat(fields, dialect.contract.nested, media_type)
        raw = encode(fields, media_type)
    known = dialect.contract.known
    found = decode_as(_tolerant_decoder(known, media_type), raw, media_type)
    body = found if isinstance(found, RerankBody) else _coerced(found, media_type)
    unread = [
        name for name in fields if name not in known and not _is_empty(fields[name], media_type)
    ]
    return DecodedRequest(dialect, body, tuple(unread))


def _flat(fields: dict[str, Raw], nested: Iterable[str], media_type: MediaType) -> dict[str, Raw]:
    """Return the fields with those that are in objects of these names; the outer ones count.

    Raises:
        MalformedBody: an object has too many fields.
    """
    outer = {name: value for name, value in fields.items() if name not in nested}
    for name in nested:
        if name in fields:
            inner = bytes(fields[name])
            check_structure(inner, media_type)
            outer = raw_fields(inner, media_type) | outer
    return outer


@cache
def _tolerant_decoder(known: frozenset[str], media_type: MediaType) -> Decoder[Struct | list[Pair]]:
    """Return a decoder that checks the known fields only, and no integers and booleans."""
    fields = [
        (field.name, Raw if field.name in _COERCED else field.type, UNSET)
        for field in msgspec.structs.fields(RerankBody)
        if field.name in known
    ]
    body = defstruct("TolerantBody", fields, kw_only=True)
    decoder: Decoder[Struct | list[Pair]] = _DECODERS[media_type](body | list[Pair])
    return decoder


def _coerced(found: Struct, media_type: MediaType) -> RerankBody:
    """Return a body with coerced integers and booleans."""
    values: dict[str, Any] = {}
    for name, value in asdict(found).items():
        if value is not UNSET:
            is_raw = name in _COERCED
            values[name] = _coerced_value(name, value, media_type) if is_raw else value
    return RerankBody(**values)


def _coerced_value(name: str, value: Raw, media_type: MediaType) -> object:
    """Return an integer or a boolean, from any of its spellings.

    Raises:
        InvalidRequest: the value means none.
    """
    if (size := len(memoryview(value))) > _LONGEST_COERCED:
        wanted = "an integer" if name in INTEGER_FIELDS else "true or false"
        raise InvalidRequest(f"{name}: expected {wanted}, got {size} bytes", param=name)
    decode_value = msgspec.json.decode if media_type is MediaType.JSON else msgspec.msgpack.decode
    try:
        number: object = decode_value(value)
    except msgspec.ValidationError:  # a number beyond any range
        number = value
    if name in INTEGER_FIELDS and not _is_long_fraction(number, value):
        number = to_integer(number)
        if isinstance(number, int):
            return max(-_LARGEST, min(number, _LARGEST))
    elif name in BOOLEAN_FIELDS:
        number = to_boolean(number)
    checked = decode(encode({name: number}, media_type), media_type)  # raises with the right words
    return getattr(checked, name)


def _is_long_fraction(number: object, value: Raw) -> bool:
    """Return whether a number was rounded: 0.9999999999999999999 is no integer."""
    return isinstance(number, float) and len(bytes(value)) > _LONGEST_NUMBER


def _is_empty(value: Raw, media_type: MediaType) -> bool:
    return len(memoryview(value)) <= _LONGEST_EMPTY and bytes(value) in _EMPTY[media_type]
