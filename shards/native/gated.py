"""The gate of a feed-forward block: the SiLU of one half times the other. See `gated.c`."""

import ctypes
from collections.abc import Callable

import torch

from shards.native.arguments import address


def gated_by(library: ctypes.CDLL) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the kernel: bf16 `[rows, 2 * width]`, gate and up, to `[rows, width]`."""
    kernel = library.native_gated
    kernel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long)
    kernel.restype = None

    def gated(product: torch.Tensor) -> torch.Tensor:
        rows, width = product.shape[0], product.shape[1] // 2
        out = torch.empty(rows, width, dtype=torch.bfloat16)
        start = address("product", product, torch.bfloat16, rows, 2 * width)
        kernel(start, out.data_ptr(), rows, width)
        return out

    return gated
