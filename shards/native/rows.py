"""Rows of numbers as kernels read and write them, and the kernels that change rows one by one.

See `rows.h` and `rows.c`.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch

from shards.native.arguments import MOST_WIDTH, WrongArgument, kernel, takes_rows

ZERO = 128  # the code of 0
_FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}


@dataclass(frozen=True, slots=True)
class Scaled:
    """Rows whose numbers are to be multiplied by the scale of their row.

    Attributes:
        numbers: u8 codes around 128, or the product of such codes in bf16; `[rows, width]`.
        scales: fp32, `[rows]`.
    """

    numbers: torch.Tensor
    scales: torch.Tensor

    def exact(self) -> torch.Tensor:
        """Return the numbers that the rows represent, in fp32."""
        zero = ZERO if self.numbers.dtype == torch.uint8 else 0
        return (self.numbers.float() - zero) * self.scales[:, None]


Rows = torch.Tensor | Scaled


class CRows(ctypes.Structure):
    """`struct rows`."""

    _fields_ = (
        ("at", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("format", ctypes.c_int64),
    )


# -- arguments of kernels --------------------------------------------------------------------------


def numbers_of(rows: Rows) -> torch.Tensor:
    """Return the numbers of rows, without their scales."""
    return rows.numbers if isinstance(rows, Scaled) else rows


def read(name: str, rows: Rows, count: int, width: int) -> CRows:
    """Describe rows of floats that a kernel reads, or writes in place unless they are `Scaled`.

    Raises:
        WrongArgument: they are not `count` rows of `width` numbers in one piece each, on the CPU.
    """
    numbers = numbers_of(rows)
    is_float = numbers.dtype in (torch.float32, torch.bfloat16)
    is_shape = numbers.shape == (count, width) and width > 0
    if not (is_float and is_shape and numbers.stride(1) == 1 and numbers.device.type == "cpu"):
        raise WrongArgument(
            f"{name} is {numbers.dtype} {list(numbers.shape)} in steps of {list(numbers.stride())} "
            f"on {numbers.device}; the kernel takes rows of fp32 or bf16, [{count}, {width}], each "
            "in one piece, on the cpu"
        )
    scales = None
    if isinstance(rows, Scaled):
        scales = _scales_of(name, rows, count)
    return CRows(numbers.data_ptr(), scales, numbers.stride(0), _FORMATS[numbers.dtype])


def _scales_of(name: str, rows: Scaled, count: int) -> int:
    scales = rows.scales
    is_float = scales.dtype == torch.float32 and scales.device.type == "cpu"
    if is_float and scales.shape == (count,) and scales.is_contiguous():
        return scales.data_ptr()
    raise WrongArgument(
        f"the scales of {name} are {scales.dtype} {list(scales.shape)} on {scales.device}; the "
        f"kernel takes fp32 [{count}], contiguous, on the cpu"
    )


def new_rows(count: int, width: int, dtype: torch.dtype) -> tuple[Rows, CRows]:
    """Return new rows for a kernel to write.

    Args:
        dtype: fp32, bf16, or u8 for codes with a scale a row.

    Raises:
        WrongArgument: they are too wide, see `takes_rows`.
    """
    if not takes_rows(width):
        raise WrongArgument(f"rows of {width} numbers: the kernel writes 1 to {MOST_WIDTH}")
    numbers = torch.empty(count, width, dtype=dtype)
    if dtype != torch.uint8:
        return numbers, CRows(numbers.data_ptr(), None, width, _FORMATS[dtype])
    scales = torch.empty(count)
    described = CRows(numbers.data_ptr(), scales.data_ptr(), width, _FORMATS[dtype])
    return Scaled(numbers, scales), described


# -- kernels ---------------------------------------------------------------------------------------


class _RowsToRows(ctypes.Structure):
    """`struct rows_to_rows`."""

    _fields_ = (
        ("rows", CRows),
        ("out", CRows),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


def row_converter(library: ctypes.CDLL, dtype: torch.dtype) -> Callable[[Rows], Rows]:
    """Return the kernel that copies rows to `dtype`; u8 stands for codes with a scale a row."""
    run = kernel(library, "native_convert", ctypes.POINTER(_RowsToRows))

    def convert(rows: Rows) -> Rows:
        count, width = numbers_of(rows).shape
        read_rows = read("rows", rows, count, width)
        out, out_rows = new_rows(count, width, dtype)
        run(_RowsToRows(read_rows, out_rows, count, width))
        return out

    return convert


def row_adder(library: ctypes.CDLL) -> Callable[[torch.Tensor, Rows], None]:
    """Return the kernel that adds rows to states, in place."""
    run = kernel(library, "native_add", ctypes.POINTER(_RowsToRows))

    def add(states: torch.Tensor, rows: Rows) -> None:
        count, width = states.shape
        read_rows = read("rows", rows, count, width)
        run(_RowsToRows(read_rows, read("states", states, count, width), count, width))

    return add


def row_gate(library: ctypes.CDLL, dtype: torch.dtype) -> Callable[[Rows], Rows]:
    """Return the gate of a feed-forward block: the SiLU of one half of a row times the other.

    It takes `[rows, 2 * width]`, gate and up, and returns `[rows, width]` in `dtype`.
    """
    run = kernel(library, "native_gate", ctypes.POINTER(_RowsToRows))

    def gate(product: Rows) -> Rows:
        count, both = numbers_of(product).shape
        width = both // 2
        read_rows = read("product", product, count, 2 * width)
        out, out_rows = new_rows(count, width, dtype)
        run(_RowsToRows(read_rows, out_rows, count, width))
        return out

    return gate
