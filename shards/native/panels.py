"""Weights in panels, and what is multiplied with them. See `fours.h` and `panels.h`."""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import WrongArgument
from shards.native.rows import MOST_WIDTH

_OUTPUTS = 64  # of a panel
_PART = 16  # rows of weights that are laid out together
_FOUR = 4  # inputs that an instruction adds up, at most


def lays_out(weights: Sequence[torch.Tensor]) -> bool:
    """Whether the kernels take weights of these sizes, one below the other."""
    inputs = weights[0].shape[1]
    fits = all(len(weight) % _PART == 0 for weight in weights)
    return (
        fits
        and sum(map(len, weights)) % _OUTPUTS == 0
        and 0 < inputs <= MOST_WIDTH
        and inputs % _FOUR == 0
    )


def check_sizes(weights: Sequence[torch.Tensor]) -> None:
    """Refuse weights of sizes that the kernels do not take.

    Raises:
        WrongArgument: see `lays_out`.
    """
    if not lays_out(weights):
        sizes = [list(weight.shape) for weight in weights]
        raise WrongArgument(
            f"weights are {sizes}; the kernel takes multiples of {_PART} outputs, of {_OUTPUTS} in all, "
            f"and of {_FOUR} inputs, at most {MOST_WIDTH}"
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
