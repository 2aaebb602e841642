"""Scales that belong to a matrix, to its rows, to groups of its columns, or to blocks of it."""

from typing import TYPE_CHECKING

from shards.checkpoint.quantised.stored import Stored

if TYPE_CHECKING:
    import torch

FLOATS = frozenset({"F16", "BF16", "F32"})


def expect_scales(
    stored: Stored, name: str, rows: int, columns: int, block: tuple[int, int] | None = None
) -> tuple[int, ...]:
    """Return the shape of a matrix' scales, which must be floats and fit its shape."""
    shape = stored.shape(name)
    if stored.dtype(name) not in FLOATS or not _fits(shape, rows, columns, block):
        raise stored.misfit(name, f"floats for a matrix of {[rows, columns]}")
    return shape


def _fits(shape: tuple[int, ...], rows: int, columns: int, block: tuple[int, int] | None) -> bool:
    if shape in {(), (1,), (1, 1), (rows,), (rows, 1)}:
        return True
    if block is not None:
        return shape == (-(-rows // block[0]), -(-columns // block[1]))
    return len(shape) == 2 and shape[0] == rows and columns % shape[1] == 0


def spread(
    scales: "torch.Tensor", rows: int, columns: int, block: tuple[int, int] | None = None
) -> "torch.Tensor":
    """Return scales in fp32 as a matrix that can be multiplied with one of `[rows, columns]`."""
    scales = scales.float()
    if scales.numel() == 1:
        return scales.reshape(1, 1)
    if scales.dim() == 1 or scales.shape == (rows, 1):
        return scales.reshape(rows, 1)
    if block is not None:
        scales = scales.repeat_interleave(block[0], dim=0)[:rows]
        return scales.repeat_interleave(block[1], dim=1)[:, :columns]
    return scales.repeat_interleave(columns // scales.shape[1], dim=1)
