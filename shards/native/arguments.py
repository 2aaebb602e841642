"""Arguments of kernels, checked: C code trusts every address and every size.

The rules for sizes stand here once. Engines test them before they make a kernel and use PyTorch's
operations otherwise, so that a model of odd sizes is served, if slower. Kernels themselves reject
untested sizes (`WrongArgument`).
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

MOST_WIDTH = 1 << 15
"""The widest row that a kernel writes: before that it lies in fp32 on the stack of a thread.

Also the most inputs and outputs of weights in int8, whose sums would leave 32 bits at twice as
many.
"""

MOST_ELEMENTS = 256
"""The most elements of an attention head: the scratch of a tile is on the stack of its thread."""

OUTPUTS = 64
"""The outputs in a panel of weights."""

FOUR = 4
"""The most inputs that one instruction adds up."""

LAID_ROWS = 16
"""The rows of weights that are laid out together."""


class WrongArgument(ValueError):
    """A tensor that a kernel cannot take; nothing was computed."""


def takes_rows(*widths: int) -> bool:
    """Return whether kernels write rows of these widths."""
    return min(widths) > 0 and max(widths) <= MOST_WIDTH


def takes_heads(dim: int) -> bool:
    """Return whether attention takes heads of `dim` elements."""
    return dim % 2 == 0 and 0 < dim <= MOST_ELEMENTS


def takes_weights(shapes: Iterable[Sequence[int]]) -> bool:
    """Return whether products take weights `[outputs, inputs]` that lie one below the other."""
    outputs, inputs = zip(*shapes, strict=True)
    fits = all(count % LAID_ROWS == 0 for count in outputs) and sum(outputs) % OUTPUTS == 0
    return fits and inputs[0] % FOUR == 0 and takes_rows(inputs[0])


def takes_encoder_weights(outputs: int, inputs: int) -> bool:
    """Return whether an encoder layer takes weights `[outputs, inputs]`; it pads the outputs."""
    return inputs % FOUR == 0 and takes_rows(inputs, outputs)


def address(name: str, tensor: torch.Tensor, dtype: torch.dtype, *shape: int) -> int:
    """Return the address of a contiguous CPU tensor of this format and shape.

    Raises:
        WrongArgument: the tensor is of another kind; the message describes it.
    """
    is_fitting = tensor.dtype is dtype and tensor.shape == shape and tensor.is_contiguous()
    if is_fitting and tensor.device.type == "cpu":
        return tensor.data_ptr()
    raise WrongArgument(
        f"{name} is {tensor.dtype} {list(tensor.shape)} in steps of {list(tensor.stride())} "
        f"on {tensor.device}; the kernel takes {dtype} {list(shape)}, contiguous, on the cpu"
    )


def kernel(
    library: ctypes.CDLL, name: str, *arguments: Any, result: Any = None
) -> Callable[..., Any]:
    """Return a kernel by its name.

    Args:
        arguments: ctypes of the arguments; for a structure the pointer to it, which ctypes makes
            itself at the call.
        result: ctype of the result; `None` for no result.
    """
    found = getattr(library, name)
    found.argtypes = arguments
    found.restype = result

    def called(*values: Any) -> Any:
        # PyTorch sets the thread count of OpenMP on this thread when first asked; see threads.c.
        torch.get_num_threads()
        return found(*values)

    return called
