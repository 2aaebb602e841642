"""The fields of messages as bytes.

    int               8 bytes, signed              tuple[int, ...]    count u32, then u32 each
    bool              1 byte                       tuple[float, ...]  count u32, then f32 each
    str               length u32, UTF-8            tuple[str, ...]    count u32, lengths u32, UTF-8
    bytes             length u32, bytes

All numbers are little-endian. Margins are f32 because that is what a model computes.
"""

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple


class WireError(Exception):
    """The bytes are no message: the peer is broken, and nothing more may be read from it."""


class Reader:
    """A cursor that never reads past the end."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0
        self.left = len(data)

    def take(self, size: int) -> memoryview:
        return self._data[self._skip(size) : self._at]

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack_from(self._data, self._skip(layout.size))

    def _skip(self, size: int) -> int:
        """Advance by so many bytes; return their start."""
        if size > self.left:
            raise WireError(f"{size} bytes announced, {self.left} there")
        start = self._at
        self._at += size
        self.left -= size
        return start


class Codec(NamedTuple):
    """The encoding of one field, or of several that follow each other."""

    put: Callable[..., bytes]
    get: Callable[[Reader], Sequence[Any]]


_COUNT = struct.Struct("<I")


def _get_count(reader: Reader, unit: int) -> int:
    """Read a count and check that so many units can follow, before anything is allocated."""
    (count,) = reader.numbers(_COUNT)
    if count * unit > reader.left:
        raise WireError(f"{count} values announced, {reader.left} bytes there")
    return int(count)


def _get_text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"text is not UTF-8: {error.reason}") from None


def _put_str(text: str) -> bytes:
    data = text.encode()
    return _COUNT.pack(len(data)) + data


def _get_str(reader: Reader) -> Sequence[str]:
    return (_get_text(reader.take(_get_count(reader, 1))),)


def _put_bytes(data: bytes) -> bytes:
    return _COUNT.pack(len(data)) + data


def _get_bytes(reader: Reader) -> Sequence[bytes]:
    return (bytes(reader.take(_get_count(reader, 1))),)


def _put_texts(texts: tuple[str, ...]) -> bytes:
    encoded = [text.encode() for text in texts]
    lengths = struct.pack(f"<{len(encoded) + 1}I", len(encoded), *map(len, encoded))
    return lengths + b"".join(encoded)


def _get_texts(reader: Reader) -> Sequence[tuple[str, ...]]:
    count = _get_count(reader, _COUNT.size)
    lengths = struct.unpack(f"<{count}I", reader.take(_COUNT.size * count))
    data = reader.take(sum(lengths))
    ends = accumulate(lengths)
    texts = [_get_text(data[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    return (tuple(texts),)


def _array(letter: str) -> Codec:
    """Return the codec of a tuple of 4-byte numbers."""

    def put(values: tuple[Any, ...]) -> bytes:
        return struct.pack(f"<I{len(values)}{letter}", len(values), *values)

    def get(reader: Reader) -> Sequence[tuple[Any, ...]]:
        count = _get_count(reader, 4)
        return (struct.unpack(f"<{count}{letter}", reader.take(4 * count)),)

    return Codec(put, get)


CODECS: dict[Any, Codec] = {
    str: Codec(_put_str, _get_str),
    bytes: Codec(_put_bytes, _get_bytes),
    tuple[int, ...]: _array("I"),
    tuple[float, ...]: _array("f"),
    tuple[str, ...]: Codec(_put_texts, _get_texts),
}
LETTERS: dict[Any, str] = {int: "q", bool: "?"}


def numbers(letters: str) -> Codec:
    """Return the codec of consecutive integers and flags: one step, since most fields are such."""
    layout = struct.Struct(f"<{letters}")
    return Codec(layout.pack, lambda reader: reader.numbers(layout))
