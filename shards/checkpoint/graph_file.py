"""The content of an ONNX file, read from its structure: operators, number formats, files beside it.

The format is protobuf: messages of fields, each a number with its kind and a value, nested messages
as bytes. Only the few fields of interest are parsed; weights are skipped.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # kinds of fields
_GRAPH = 7  # of the model
_NODE, _INITIALIZER = 1, 5  # of the graph
_OPERATOR = 4  # of a node
_SHAPE, _TYPE, _EXTERNAL = 1, 2, 13  # of an initialiser
_KEY, _VALUE = 1, 2  # of an entry about a file beside the graph

_FLOATS = {1: "fp32", 10: "fp16", 16: "bf16"}
_INT4 = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_INT8 = ("QLinear", "DynamicQuantize", "MatMulInteger", "ConvInteger", "QGemm", "QAttention")
_WEIGHTS_IN_INT8 = frozenset({"DequantizeLinear"})
_RANGES_FROM_BATCH = ("DynamicQuantize",)

Value = int | memoryview


@dataclass(slots=True)
class GraphFile:
    """The content of an ONNX file.

    Attributes:
        operators: the kinds of its nodes.
        elements: the count of numbers in its weights, by ONNX's code of their format.
        beside: the names of the files with weights outside of it.
    """

    operators: set[str] = field(default_factory=set)
    elements: Counter[int] = field(default_factory=Counter)
    beside: set[str] = field(default_factory=set)

    @property
    def dtype(self) -> str:
        """The number format of its products, or else of most of its weights."""
        if self.operators & _INT4:
            return "int4"
        if self._has(_INT8) or self.operators & _WEIGHTS_IN_INT8:
            return "int8"
        floats = {name: self.elements[kind] for kind, name in _FLOATS.items()}
        return max(floats, key=floats.__getitem__)

    @property
    def looks_at_batches(self) -> bool:
        """True if ranges of states come from the batch, so that neighbours change a score."""
        return self._has(_RANGES_FROM_BATCH)

    def _has(self, starts: tuple[str, ...]) -> bool:
        return any(operator.startswith(starts) for operator in self.operators)


def read_graph_file(path: Path) -> GraphFile:
    """Read an ONNX file.

    Raises:
        ValueError: it is no ONNX file, or cut off.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    found = GraphFile()
    for graph in _messages(content, _GRAPH):
        for number, value in _fields(graph):
            if number == _NODE:
                found.operators.update(_texts(_expect_bytes(value), _OPERATOR))
            elif number == _INITIALIZER:
                _add_weights(found, _expect_bytes(value))
    if not found.operators:
        raise ValueError("it holds no graph")
    return found


def _add_weights(found: GraphFile, tensor: memoryview) -> None:
    shape: list[int] = []
    kind = 0
    for number, value in _fields(tensor):
        if number == _SHAPE:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _EXTERNAL:
            entry = _expect_bytes(value)
            if "location" in _texts(entry, _KEY):
                found.beside.update(_texts(entry, _VALUE))
    found.elements[kind] += prod(shape)


def _messages(content: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(content):
        if number == wanted:
            yield _expect_bytes(value)


def _texts(content: memoryview, wanted: int) -> list[str]:
    return [bytes(value).decode() for value in _messages(content, wanted)]


def _expect_bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message is expected")
    return value


def _fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(content, at)
        elif kind in (_EIGHT, _FOUR):
            length = 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"a field has the unknown kind {kind}")
        if at + length > len(content):
            raise ValueError("it is cut off")
        yield number, content[at : at + length]
        at += length


def _packed(content: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(content):
        number, at = _varint(content, at)
        numbers.append(number)
    return numbers


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the last byte below 128, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise ValueError("it is cut off")
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number is too long")
