"""The tensors of a checkpoint as MLX arrays, and the products with its matrices.

`mx.load` maps names to arrays that are read when they are evaluated. An array that is not evaluated
belongs to the thread that made it, and the threads of a shard are several: so all that outlives a
load is evaluated there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mlx.core as mx

from shards.checkpoint import Checkpoint

FORMATS = {"fp32": mx.float32, "bf16": mx.bfloat16, "fp16": mx.float16}
"""MLX's name of each number format."""

_WORD = 32  # bits of a stored word of codes
_BITS = (2, 3, 4, 5, 6, 8)  # that mx.quantized_matmul takes
_GROUPS = (32, 64, 128)  # columns


class Matrix(Protocol):
    """A matrix, `[outputs, inputs]`."""

    def __call__(self, states: mx.array) -> mx.array:
        """Return the product of each row of states with the matrix, `[rows, outputs]`."""
        ...

    def rows(self, ids: mx.array) -> mx.array:
        """Return some rows of the matrix."""
        ...


@dataclass(frozen=True, slots=True)
class Dense:
    """A matrix of floats."""

    weight: mx.array

    def __call__(self, states: mx.array) -> mx.array:
        """See `Matrix`."""
        return states @ self.weight.T

    def rows(self, ids: mx.array) -> mx.array:
        """See `Matrix`."""
        return self.weight[ids]


@dataclass(frozen=True, slots=True)
class Coded:
    """A matrix in the codes of `mx.quantize`, which stay as they are stored."""

    words: mx.array
    scales: mx.array
    biases: mx.array
    group_size: int
    bits: int

    def __call__(self, states: mx.array) -> mx.array:
        """See `Matrix`."""
        return mx.quantized_matmul(
            *(states, self.words, self.scales, self.biases),
            transpose=True,
            group_size=self.group_size,
            bits=self.bits,
        )

    def rows(self, ids: mx.array) -> mx.array:
        """See `Matrix`."""
        return mx.dequantize(
            *(self.words[ids], self.scales[ids], self.biases[ids]),
            group_size=self.group_size,
            bits=self.bits,
        )


class Tensors:
    """The tensors of a checkpoint by name, each evaluated when it is returned."""

    def __init__(self, checkpoint: Checkpoint, dtype: str, *, keeps_codes: bool) -> None:
        """Open the files; nothing is read yet.

        Args:
            dtype: the number format of matrices.
            keeps_codes: whether matrices in MLX's codes are multiplied as they are stored. If not,
                they are decoded, as those in other codes are in any case.
        """
        self._checkpoint = checkpoint
        self._form = FORMATS[dtype]
        self._keeps_codes = keeps_codes
        self._decoded = checkpoint.reader()
        self._files: dict[Path, Mapping[str, mx.array]] = {}

    def matrix(self, name: str) -> Matrix:
        """Return a matrix in the number format."""
        if self._keeps_codes and (coded := self._coded(name)):
            return coded
        weight = self.vector(name).astype(self._form)
        mx.eval(weight)
        return Dense(weight)

    def vector(self, name: str) -> mx.array:
        """Return a tensor in fp32."""
        if name in self._checkpoint.quantised.matrices:
            found = mx.array(self._decoded(name).numpy())
        else:
            found = self._stored(name).astype(mx.float32)
        mx.eval(found)
        return found

    def row(self, name: str, at: int) -> mx.array:
        """Return one row of a matrix in fp32, as precisely as it is stored."""
        if name in self._checkpoint.quantised.matrices:
            rows = self._checkpoint.read_tensor(name, slice(at, at + 1))
            found = mx.array(rows[0].float().numpy())
        else:
            found = self._stored(name)[at].astype(mx.float32)
        mx.eval(found)
        return found

    def _coded(self, name: str) -> Coded | None:
        """Return a matrix in the codes it is stored in; `None` if MLX has no product with them."""
        quantised = self._checkpoint.quantised
        if name not in quantised.matrices or not quantised.summary.startswith("MLX"):
            return None
        matrix = quantised.matrices[name]
        words, scales, biases = map(self._stored, matrix.parts)
        bits = _WORD * words.shape[1] // matrix.columns
        size = matrix.columns // scales.shape[1]
        if bits not in _BITS or size not in _GROUPS:
            return None
        found = Coded(
            words, scales.astype(self._form), biases.astype(self._form), group_size=size, bits=bits
        )
        mx.eval(found.words, found.scales, found.biases)
        return found

    def _stored(self, name: str) -> mx.array:
        path = self._checkpoint.stored[name]
        if path not in self._files:
            loaded = mx.load(str(path), format="safetensors")
            assert isinstance(loaded, dict)
            self._files[path] = loaded
        return self._files[path][name]
