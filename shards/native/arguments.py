"""What kernels are given, checked: C believes every address and every size."""

import ctypes
from collections.abc import Callable
from typing import Any

import torch


class WrongArgument(ValueError):
    """A tensor that a kernel cannot take; nothing was computed."""


def address(name: str, tensor: torch.Tensor, form: torch.dtype, *shape: int) -> int:
    """Return where a tensor begins, if it is contiguous, of this format and shape, on the CPU.

    Raises:
        WrongArgument: it is not; the message says what was found.
    """
    is_fitting = tensor.dtype is form and tensor.shape == shape and tensor.is_contiguous()
    if is_fitting and tensor.device.type == "cpu":
        return tensor.data_ptr()
    raise WrongArgument(
        f"{name} is {tensor.dtype} {list(tensor.shape)} in steps of {list(tensor.stride())} "
        f"on {tensor.device}; the kernel takes {form} {list(shape)}, contiguous, on the cpu"
    )


def kernel(
    library: ctypes.CDLL, name: str, *arguments: Any, gives: Any = None
) -> Callable[..., Any]:
    """Return a kernel by its name.

    Args:
        arguments: the ctypes of what it takes; of a structure the pointer to it, which ctypes makes itself.
        gives: the ctype of what it returns, if it does.
    """
    found = getattr(library, name)
    found.argtypes = arguments
    found.restype = gives

    def called(*values: Any) -> Any:
        torch.get_num_threads()  # has PyTorch tell OpenMP on this thread too, see threads.c
        return found(*values)

    return called
