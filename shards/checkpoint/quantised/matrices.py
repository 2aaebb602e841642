"""Matrices that a checkpoint stores in parts: codes, scales, zero points.

A checkpoint's logical tensors are those that its model has, `layers.0.mlp.up_proj.weight`; the
stored ones are in its files, `layers.0.mlp.up_proj.qweight`. Codes are turned into fp32 when they
are read, and the model is computed in any number format from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Headers = Mapping[str, Mapping[str, Any]]
"""The description of each stored tensor, by name."""

Read = Callable[[str], "torch.Tensor"]
"""Returns a stored tensor."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix that is stored in parts.

    Attributes:
        rows, columns: its shape.
        parts: the names of its stored tensors.
        decode: returns the matrix in fp32, from its parts in their order.
        by_rows: whether some rows of all parts are the parts of some rows of the matrix.
    """

    rows: int
    columns: int
    parts: tuple[str, ...]
    decode: "Callable[..., torch.Tensor]"
    by_rows: bool = False


@dataclass(frozen=True, slots=True)
class Quantised:
    """The matrices of a checkpoint that are stored in parts.

    Attributes:
        summary: their form, for operators: `GPTQ, 4 bits`.
        matrices: the matrices, by their logical names.
        unused: stored tensors that no score needs, such as scales of states.
    """

    summary: str
    matrices: Mapping[str, Matrix]
    unused: frozenset[str] = field(default_factory=frozenset)

    def read(self, name: str, stored: Read, rows: slice | None = None) -> "torch.Tensor":
        """Return a matrix, or some of its rows, in fp32."""
        matrix = self.matrices[name]
        parts = [stored(part) for part in matrix.parts]
        if rows is None:
            return matrix.decode(*parts)
        if matrix.by_rows:
            return matrix.decode(*(part[rows] for part in parts))
        return matrix.decode(*parts)[rows]

    def stored_rows(
        self, name: str, stored: Read
    ) -> "Callable[[torch.Tensor], torch.Tensor] | None":
        """Return a function from numbers of rows to these rows in fp32; the codes stay as they are.

        It is `None` for a matrix whose rows cannot be decoded alone.
        """
        matrix = self.matrices[name]
        if not matrix.by_rows:
            return None
        # Copies: a file that is written anew in its place would change what is mapped.
        parts = [stored(part).clone() for part in matrix.parts]
        return lambda rows: matrix.decode(*(part[rows] for part in parts))

    def plain(self, stored: Mapping[str, T]) -> dict[str, T]:
        """Return what is known of the stored tensors that are tensors of the model as they are."""
        parts = {part for matrix in self.matrices.values() for part in matrix.parts}
        parts |= self.unused
        return {name: known for name, known in stored.items() if name not in parts}

    def logical(self, stored: Mapping[str, T]) -> dict[str, T]:
        """Return what is known of stored tensors by logical names; of a matrix, its first part."""
        first = {name: stored[matrix.parts[0]] for name, matrix in self.matrices.items()}
        return self.plain(stored) | first

    def shapes(self, stored: Headers) -> dict[str, Sequence[int]]:
        """Return the shape of each logical tensor."""
        plain: dict[str, Sequence[int]] = {
            name: about["shape"] for name, about in self.logical(stored).items()
        }
        return plain | {
            name: (matrix.rows, matrix.columns) for name, matrix in self.matrices.items()
        }


NOTHING = Quantised("", {})
"""A checkpoint whose tensors are all plain floats."""
