"""The steps between the products of an encoder layer in floats: sums and norms.

On a CPU they are kernels in C, one pass over the rows in fp32 (`shards.native`), where these can be
used; elsewhere PyTorch's operations.
"""

import ctypes
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from shards.native.arguments import takes_rows
from shards.native.library import kernels
from shards.native.normed import Norm, Norms


class SumNorm(Protocol):
    """The step behind a product, for one device and format of states."""

    def norm(self, norm: Norm) -> Norm:
        """Return a norm in the format that `normed` takes."""
        ...

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        """Return the norm of the sum of both; `product` may be overwritten."""
        ...


def sum_norm_for(device: str, dtype: torch.dtype, width: int) -> SumNorm:
    """Return the fastest step for a device and a format and width of states."""
    library = kernels()
    is_taken = dtype in (torch.float32, torch.bfloat16) and takes_rows(width)
    if device == "cpu" and is_taken and library is not None:
        return Native(library, dtype)
    return Plain(dtype)


class Native:
    """The step by kernels in C; see `SumNorm`."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        self._norms = Norms(library, dtype)

    def norm(self, norm: Norm) -> Norm:
        return norm.to(torch.float32)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        return self._norms.layer(product, states, norm.weight, norm.bias, norm.eps)


@dataclass(frozen=True, slots=True)
class Plain:
    """The step by PyTorch's operations; see `SumNorm`."""

    dtype: torch.dtype

    def norm(self, norm: Norm) -> Norm:
        return norm.to(self.dtype)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        both = product.add_(states)
        return functional.layer_norm(both, norm.weight.shape, norm.weight, norm.bias, norm.eps)
