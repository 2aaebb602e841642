"""The weights of a checkpoint on this disk, by the heads of its files; no model library reads them.

A model of the hub is looked for in the hub's cache. What is not there has no size until its first
load has brought it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from shards.wire.gguf_file import SUFFIX, GgufError, gguf_files, read_gguf

_LONGEST_HEAD = 100 << 20
_CODES = {"U8": 2, "I32": 8, "U32": 8}  # of 4 bits, by the formats that quantisers pack them in
_BITS = re.compile(r"^[A-Z]+(\d+)")


@dataclass(frozen=True, slots=True)
class Weights:
    """The numbers of a checkpoint.

    Attributes:
        numbers: how many there are, by their bytes each.
        codes: how many more there are once quantised ones are decoded, as most loads do. It is an
            estimate: words are taken for codes of 4 bits.
        graph_bytes: the size of its exported graph, where that serves.
    """

    numbers: Counter[int] = field(default_factory=Counter)
    codes: int = 0
    graph_bytes: int = 0

    @property
    def file_bytes(self) -> int:
        """The size of all numbers as they lie in the files."""
        return sum(size * count for size, count in self.numbers.items()) + self.graph_bytes

    def bytes_at(self, size: int) -> int:
        """Return the size when each number takes so many bytes; packed ones stay as they are."""
        unpacked = sum(count for each, count in self.numbers.items() if each > 1)
        return size * unpacked + self.numbers[1] + self.graph_bytes

    def decoded_bytes_at(self, size: int) -> int:
        """Return the size when each number takes so many bytes, packed ones as well."""
        return size * (self.numbers.total() + self.codes) + self.graph_bytes


def weights_of(source: str) -> Weights | None:
    """Return the weights of a source, if it is on this disk and has some."""
    folder = _folder(source)
    if folder is None:
        return None
    numbers: Counter[int] = Counter()
    codes = 0
    ggufs = gguf_files(folder)[:1]
    for file in ggufs or folder.glob("*.safetensors"):
        found, more = _blocks(file) if ggufs else _numbers(file)
        numbers, codes = numbers + found, codes + more
    graphs = [*folder.glob("*.onnx*"), *folder.glob("onnx/*.onnx*")]
    graph = 0 if numbers else max((file.stat().st_size for file in graphs), default=0)
    return Weights(numbers, codes, graph) if numbers or graph else None


def _folder(source: str) -> Path | None:
    folder = Path(source).expanduser()
    try:
        if folder.is_dir() or (folder.suffix == SUFFIX and folder.is_file()):
            return folder
        return max(_snapshots(source), key=lambda path: path.stat().st_mtime, default=None)
    except OSError:
        return None


def _snapshots(source: str) -> Iterator[Path]:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return (cache / f"models--{source.replace('/', '--')}" / "snapshots").glob("*")


def _numbers(file: Path) -> tuple[Counter[int], int]:
    """Return the count of a file's numbers by their size, and how many more its codes stand for.

    A file that cannot be read has none.
    """
    found: Counter[int] = Counter()
    more = 0
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            head: dict[str, Any] = msgspec.json.decode(stream.read(min(length, _LONGEST_HEAD)))
        for name, tensor in head.items():
            if name != "__metadata__":
                count = prod(tensor["shape"])
                found[_size(tensor["dtype"])] += count
                more += (_CODES.get(tensor["dtype"], 1) - 1) * count
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return Counter(), 0  # the shard that loads it reports why
    return found, more


def _blocks(file: Path) -> tuple[Counter[int], int]:
    """Return the same of a GGUF file, with blocks of codes as the bytes that they take."""
    found: Counter[int] = Counter()
    more = 0
    try:
        tensors = read_gguf(file).tensors.values()
    except (OSError, GgufError):
        return found, 0
    for tensor in tensors:
        if tensor.kind.numbers == 1:
            found[tensor.kind.bytes] += tensor.numbers
        else:
            found[1] += tensor.bytes
            more += tensor.numbers - tensor.bytes
    return found, more


def _size(dtype: str) -> int:
    """Return the bytes of a number by its format in safetensors, such as `BF16` or `F8_E4M3`."""
    found = _BITS.match(dtype)
    return max(1, int(found[1]) // 8) if found else 1
