"""Weights in panels, and the arguments of their products. See `fours.h` and `panels.h`."""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import (
    FOUR,
    LAID_ROWS,
    MOST_WIDTH,
    OUTPUTS,
    WrongArgument,
    address,
    kernel,
    takes_weights,
)


def check_sizes(weights: Sequence[torch.Tensor]) -> None:
    """Reject weights of sizes that the kernels do not take.

    Raises:
        WrongArgument: see `takes_weights`.
    """
    sizes = [list(weight.shape) for weight in weights]
    if not takes_weights(sizes):
        raise WrongArgument(
            f"weights are {sizes}; the kernel takes multiples of {LAID_ROWS} outputs, of {OUTPUTS} "
            f"in all, and of {FOUR} inputs, at most {MOST_WIDTH}"
        )


class CWeights(ctypes.Structure):
    """`struct weights`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "starts", "scales", "bias")),
        ("bytes", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


class CProduct(ctypes.Structure):
    """`struct product`."""

    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("row_scales", ctypes.c_void_p),
        ("weights", CWeights),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
    )


class _Laying(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("panels", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


def in_panels(library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Lay out weights that lie one below the other, int8 or bf16, in panels."""
    dtype, inputs = weights[0].dtype, weights[0].shape[1]
    lay = kernel(library, "native_lay", ctypes.POINTER(_Laying), ctypes.c_int64)
    panels = torch.empty(sum(map(len, weights)) * inputs, dtype=dtype)
    first = 0
    for weight in weights:
        rows = address("weight", weight, dtype, len(weight), inputs)
        lay(_Laying(rows, panels.data_ptr(), inputs * dtype.itemsize, first), len(weight))
        first += len(weight)
    return panels


class Bias:
    """The bias of all outputs, as kernels take it.

    Attributes:
        at: its address; `None` for no bias.
    """

    def __init__(self, bias: torch.Tensor | None, outputs: int) -> None:
        self._kept = None if bias is None else bias.float().contiguous()
        self.at: int | None = None
        if self._kept is not None:
            self.at = address("bias", self._kept, torch.float32, outputs)
