"""From bytes to a `RerankBody` in one pass, with errors in the words of the client.

A bare array is the short way to write `{"pairs": [...]}`.
"""

import re
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from gateway.dialects.body import Pair, RerankBody
from gateway.dialects.media import Form
from gateway.errors import InvalidRequest, MalformedBody

T = TypeVar("T")

_Decoder: TypeAlias = msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]

_BODIES: dict[Form, _Decoder[RerankBody | list[Pair]]] = {
    Form.JSON: msgspec.json.Decoder(RerankBody | list[Pair]),
    Form.MSGPACK: msgspec.msgpack.Decoder(RerankBody | list[Pair]),
}
_NAMES: dict[Form, _Decoder[dict[str, Raw]]] = {
    Form.JSON: msgspec.json.Decoder(dict[str, Raw]),
    Form.MSGPACK: msgspec.msgpack.Decoder(dict[str, Raw]),
}
_HINTS = {
    Form.JSON: "send JSON in UTF-8 without a byte order mark, NaN, Infinity or lone surrogates",
    Form.MSGPACK: "send one MessagePack map with strings in UTF-8",
}


def decode(raw: bytes, form: Form) -> RerankBody:
    """Read a body.

    Raises:
        MalformedBody: it is not the JSON or MessagePack it claims to be.
        InvalidRequest: a field has the wrong type; `param` names it as the client writes it.
    """
    try:
        body = _BODIES[form].decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error)) from None
    except RecursionError:
        raise MalformedBody(
            "the body is nested too deeply: send plain lists of documents"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = form.name.replace("MSGPACK", "MessagePack")
        raise MalformedBody(f"the body is not valid {name} ({error}): {_HINTS[form]}") from None
    return RerankBody(pairs=body) if isinstance(body, list) else body


def sent_keys(raw: bytes, form: Form) -> frozenset[str]:
    """Return the names of the fields in a body that `decode` refused, as far as they are legible.

    The refusal itself should be said in the dialect of the request.
    """
    try:
        return frozenset(_NAMES[form].decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


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
    """Say what msgspec found in the words and the path that the client knows."""
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
