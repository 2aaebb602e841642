"""The head of a GGUF file: its keys and its tensors, read within bounds and without a library.

A file is `GGUF`, a version, two counts, keys with values, descriptions of tensors, and the tensors
from the next multiple of the alignment on. The gateway reads heads as well, for the memory that a
model will take, so this needs the standard library only. The `gguf` package reads the same, but
takes 22 s for the 300,000 texts of a vocabulary of Qwen3, where this takes a fraction of a second.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

SUFFIX = ".gguf"

_OTHER_WEIGHTS = ("*.safetensors", "*.onnx", "onnx/*.onnx")
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST = 1 << 16  # keys, and tensors
_MOST_ITEMS = 1 << 22
_LONGEST_TEXT = 16 << 20
_HEADS = (16 << 20, 256 << 20)  # bytes that are read at first, and at most
_NUMBERS = {
    **dict(zip((0, 1, 2, 3, 4, 5, 6), "BbHhIif", strict=True)),
    **dict(zip((7, 10, 11, 12), "?Qqd", strict=True)),
}
_TEXT, _LIST = 8, 9
_ALIGNMENT = "general.alignment"


class GgufError(ValueError):
    """A file that is no GGUF file, or a broken one; the message says how."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A number format of tensors: blocks of some numbers in some bytes."""

    name: str
    numbers: int
    bytes: int


KINDS: Mapping[int, Kind] = {
    0: Kind("F32", 1, 4),
    1: Kind("F16", 1, 2),
    2: Kind("Q4_0", 32, 18),
    3: Kind("Q4_1", 32, 20),
    6: Kind("Q5_0", 32, 22),
    7: Kind("Q5_1", 32, 24),
    8: Kind("Q8_0", 32, 34),
    12: Kind("Q4_K", 256, 144),
    13: Kind("Q5_K", 256, 176),
    14: Kind("Q6_K", 256, 210),
    30: Kind("BF16", 1, 2),
}
"""The number formats that are read, by the number that the file has for each."""

_NOT_READ = {
    10: "Q2_K",
    11: "Q3_K",
    20: "IQ4_NL",
    23: "IQ4_XS",
    28: "F64",
    39: "MXFP4",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's number format, its shape with rows first, and its place in the file."""

    kind: Kind
    shape: tuple[int, ...]
    start: int

    @property
    def numbers(self) -> int:
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return self.shape[-1] // self.kind.numbers * self.kind.bytes

    @property
    def bytes(self) -> int:
        return self.numbers // self.kind.numbers * self.kind.bytes


@dataclass(frozen=True, slots=True)
class _List:
    """A list in a head, which is decoded when it is asked for."""

    kind: int
    count: int
    start: int


@dataclass(frozen=True, slots=True)
class GgufHead:
    """All of a GGUF file but the numbers of its tensors.

    Attributes:
        content: the bytes of the head.
        keys: its values by their keys, lists aside.
        tensors: its tensors by their names.
    """

    content: bytes
    keys: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    lists: Mapping[str, _List]

    def list(self, key: str) -> list[Any]:
        """Return a list of texts or numbers; an empty one where there is none."""
        found = self.lists.get(key)
        if found is None:
            return []
        head = _Bytes(self.content, found.start)
        if found.kind == _TEXT:
            return [head.text() for _ in range(found.count)]
        return list(head.numbers(found.kind, found.count))


def gguf_files(place: Path) -> list[Path]:
    """Return the GGUF files that a file or folder names; none for a checkpoint of another form."""
    if place.is_file():
        return [place] if place.suffix == SUFFIX else []
    if any(found for name in _OTHER_WEIGHTS for found in place.glob(name)):
        return []
    return sorted(place.glob(f"*{SUFFIX}"))


def read_gguf(path: Path) -> GgufHead:
    """Read the head of a file.

    Raises:
        GgufError: it is no GGUF file, or it is broken, or cut.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for most in _HEADS:
            file.seek(0)
            content = file.read(most)
            try:
                return _head(content, size)
            except _Cut:
                if len(content) == size:
                    break
    raise GgufError(f"it ends in its head, after {len(content)} of {size} bytes")


class _Cut(Exception):
    """The head goes on after the bytes that were read."""


class _Bytes:
    """Bytes that are read from front to end."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self._content, self.at = content, at

    def take(self, number: int) -> bytes:
        found = self._content[self.at : self.at + number]
        if len(found) < number:
            raise _Cut
        self.at += number
        return found

    def skip_texts(self, count: int) -> None:
        """Go past some texts, of which there may be hundreds of thousands."""
        content, at, end = self._content, self.at, len(self._content)
        from_bytes = int.from_bytes
        for _ in range(count):
            at += 8 + from_bytes(content[at : at + 8], "little")
            if at > end:
                raise _Cut
        self.at = at

    def numbers(self, kind: int, count: int = 1) -> tuple[Any, ...]:
        form = f"<{count}{_NUMBERS[kind]}"
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def count(self, what: str, most: int, kind: int = 10) -> int:
        (found,) = self.numbers(kind)
        if found > most:
            raise GgufError(f"it has {found} {what}, and {most} are the most")
        return int(found)

    def text(self) -> str:
        content = self.take(self.count("bytes in a text", _LONGEST_TEXT))
        return content.decode("utf-8", "replace")


def _head(content: bytes, size: int) -> GgufHead:
    if content[:4] != _MAGIC:
        raise GgufError("it does not begin with GGUF")
    head = _Bytes(content, 4)
    (version,) = head.numbers(4)
    if version not in _VERSIONS:
        raise GgufError(f"its version is {version}, 2 or 3 with the low byte first is expected")
    tensors, keys = (head.count(what, _MOST) for what in ("tensors", "keys"))
    values: dict[str, Any] = {}
    lists: dict[str, _List] = {}
    for _ in range(keys):
        key = head.text()
        if key in values or key in lists:
            raise GgufError(f"it has {key} twice")
        value = _value(head, key)
        (lists if isinstance(value, _List) else values)[key] = value
    found = dict(_described(head, tensors))
    if len(found) != tensors:
        raise GgufError("it has two tensors of one name")
    return _placed(content[: head.at], values, lists, found, size)


def _value(head: _Bytes, key: str) -> Any:
    (kind,) = head.numbers(4)
    if kind == _TEXT:
        return head.text()
    if kind == _LIST:
        return _list(head, key)
    if kind not in _NUMBERS:
        raise GgufError(f"{key} is of the unknown type {kind}")
    (value,) = head.numbers(kind)
    return value


def _list(head: _Bytes, key: str) -> _List:
    (kind,) = head.numbers(4)
    count = head.count(f"items in {key}", _MOST_ITEMS)
    start = head.at
    if kind == _TEXT:
        head.skip_texts(count)
    elif kind in _NUMBERS:
        head.take(count * struct.calcsize(f"<{_NUMBERS[kind]}"))
    else:
        raise GgufError(f"{key} is a list of the unknown type {kind}")
    return _List(kind, count, start)


def _described(head: _Bytes, count: int) -> Iterator[tuple[str, Tensor]]:
    """Yield name and description of each tensor; its start counts from the first one's."""
    for _ in range(count):
        name = head.text()
        sides = head.numbers(10, head.count("sides in a tensor", 4, kind=4))
        number, start = *head.numbers(4), *head.numbers(10)
        kind = KINDS.get(number)
        if kind is None:
            known = ", ".join(kind.name for kind in KINDS.values())
            raise GgufError(
                f"{name} is stored as {_NOT_READ.get(number, f'the unknown type {number}')}, one "
                f"of {known} is expected"
            )
        if not sides or not all(0 < side < 1 << 40 for side in sides) or sides[0] % kind.numbers:
            raise GgufError(f"{name} has the impossible shape {[*reversed(sides)]} in {kind.name}")
        yield name, Tensor(kind, tuple(reversed(sides)), start)


def _placed(
    content: bytes,
    keys: Mapping[str, Any],
    lists: Mapping[str, _List],
    tensors: Mapping[str, Tensor],
    size: int,
) -> GgufHead:
    """Return the head with each tensor's place in the file, which must have all of them."""
    alignment = keys.get(_ALIGNMENT, 32)
    if type(alignment) is not int or alignment not in (1 << power for power in range(3, 17)):
        raise GgufError(f"{_ALIGNMENT} is {alignment!r}, a power of two from 8 on is expected")
    first = -(-len(content) // alignment) * alignment
    found = {
        name: Tensor(tensor.kind, tensor.shape, first + tensor.start)
        for name, tensor in tensors.items()
    }
    ranges = sorted((tensor.start, tensor.start + tensor.bytes) for tensor in found.values())
    if ranges and ranges[-1][1] > size:
        raise GgufError(f"it has {size} bytes, and its tensors end at {ranges[-1][1]}: it was cut")
    if any(one[1] > other[0] for one, other in pairwise(ranges)):
        raise GgufError("its tensors overlap")
    if any(tensor.start % alignment for tensor in found.values()):
        raise GgufError(f"a tensor does not begin at a multiple of {alignment} bytes")
    return GgufHead(content, keys, found, lists)
