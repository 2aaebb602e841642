"""Rows in another form, or added to others. See `put.c`."""

import ctypes
from collections.abc import Callable

import torch

from shards.native.arguments import kernel
from shards.native.rows import CRows, Rows, made, numbers_of, read


class _Put(ctypes.Structure):
    _fields_ = (
        ("rows", CRows),
        ("out", CRows),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


def put_by(library: ctypes.CDLL, form: torch.dtype) -> Callable[[Rows], Rows]:
    """Return the kernel that gives rows in `form`: fp32, bf16, or u8 for codes with a scale a row."""
    run = kernel(library, "native_put", ctypes.POINTER(_Put))

    def put(rows: Rows) -> Rows:
        count, width = numbers_of(rows).shape
        read_rows = read("rows", rows, count, width)
        out, out_rows = made(count, width, form)
        run(_Put(read_rows, out_rows, count, width))
        return out

    return put


def add_by(library: ctypes.CDLL) -> Callable[[torch.Tensor, Rows], None]:
    """Return the kernel that adds rows to states, in place."""
    run = kernel(library, "native_add", ctypes.POINTER(_Put))

    def add(states: torch.Tensor, rows: Rows) -> None:
        count, width = states.shape
        read_rows = read("rows", rows, count, width)
        run(_Put(read_rows, read("states", states, count, width), count, width))

    return add
