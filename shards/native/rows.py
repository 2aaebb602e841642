"""Rows of numbers as kernels take and give them, see `rows.h`."""

import ctypes
from dataclasses import dataclass

import torch

from shards.native.arguments import WrongArgument
from shards.native.sizes import MOST_WIDTH, takes_rows

ZERO = 128  # the code of 0
_FORMS = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}


@dataclass(frozen=True, slots=True)
class Scaled:
    """Rows whose numbers are to be multiplied by the scale of their row.

    Attributes:
        numbers: u8 codes around 128, or what a product made of them, in bf16; `[rows, width]`.
        scales: fp32, `[rows]`.
    """

    numbers: torch.Tensor
    scales: torch.Tensor

    def exact(self) -> torch.Tensor:
        """Return what the rows stand for, in fp32."""
        zero = ZERO if self.numbers.dtype == torch.uint8 else 0
        return (self.numbers.float() - zero) * self.scales[:, None]


Rows = torch.Tensor | Scaled


class CRows(ctypes.Structure):
    """`struct rows`."""

    _fields_ = (
        ("at", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("form", ctypes.c_int64),
    )


def numbers_of(rows: Rows) -> torch.Tensor:
    """Return the numbers of rows, without their scales."""
    return rows.numbers if isinstance(rows, Scaled) else rows


def read(name: str, rows: Rows, count: int, width: int) -> CRows:
    """Return rows of floats that a kernel reads, or writes in place if they are no `Scaled`.

    Raises:
        WrongArgument: they are not `count` rows of `width` numbers in one piece each, on the CPU.
    """
    numbers = numbers_of(rows)
    is_form = numbers.dtype in (torch.float32, torch.bfloat16)
    is_shape = numbers.shape == (count, width) and width > 0
    if not (is_form and is_shape and numbers.stride(1) == 1 and numbers.device.type == "cpu"):
        raise WrongArgument(
            f"{name} is {numbers.dtype} {list(numbers.shape)} in steps of {list(numbers.stride())} on "
            f"{numbers.device}; the kernel takes rows of fp32 or bf16, [{count}, {width}], each in one "
            f"piece, on the cpu"
        )
    scales = None
    if isinstance(rows, Scaled):
        scales = _scales_of(name, rows, count)
    return CRows(numbers.data_ptr(), scales, numbers.stride(0), _FORMS[numbers.dtype])


def _scales_of(name: str, rows: Scaled, count: int) -> int:
    scales = rows.scales
    is_form = scales.dtype == torch.float32 and scales.device.type == "cpu"
    if is_form and scales.shape == (count,) and scales.is_contiguous():
        return scales.data_ptr()
    raise WrongArgument(
        f"the scales of {name} are {scales.dtype} {list(scales.shape)} on {scales.device}; the kernel "
        f"takes fp32 [{count}], contiguous, on the cpu"
    )


def made(count: int, width: int, form: torch.dtype) -> tuple[Rows, CRows]:
    """Return new rows that a kernel writes: `form` is fp32, bf16, or u8 for codes with a scale a row.

    Raises:
        WrongArgument: they are too wide, see `sizes`.
    """
    if not takes_rows(width):
        raise WrongArgument(f"rows of {width} numbers: the kernel writes 1 to {MOST_WIDTH}")
    numbers = torch.empty(count, width, dtype=form)
    if form != torch.uint8:
        return numbers, CRows(numbers.data_ptr(), None, width, _FORMS[form])
    scales = torch.empty(count)
    return Scaled(numbers, scales), CRows(
        numbers.data_ptr(), scales.data_ptr(), width, _FORMS[form]
    )
