"""The gate of a feed-forward block: the SiLU of one half times the other. See `gated.c`."""

import ctypes
from collections.abc import Callable

import torch

from shards.native.arguments import kernel
from shards.native.rows import CRows, Rows, made, numbers_of, read


class _Gated(ctypes.Structure):
    _fields_ = (
        ("product", CRows),
        ("out", CRows),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


def gated_by(library: ctypes.CDLL, form: torch.dtype) -> Callable[[Rows], Rows]:
    """Return the kernel: `[rows, 2 * width]`, gate and up, to `[rows, width]` in `form`."""
    gate = kernel(library, "native_gated", ctypes.POINTER(_Gated))

    def gated(product: Rows) -> Rows:
        count, both = numbers_of(product).shape
        width = both // 2
        read_rows = read("product", product, count, 2 * width)
        out, out_rows = made(count, width, form)
        gate(_Gated(read_rows, out_rows, count, width))
        return out

    return gated
