"""What lies between the products of an encoder layer in floats: sums and norms.

On a CPU kernels of our own go once through the rows, in fp32 (`shards.native`), where these can be used;
elsewhere it is PyTorch's operations.
"""

import ctypes
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from shards.native.library import kernels
from shards.native.normed import Norm, Norms
from shards.native.sizes import takes_rows


class Between(Protocol):
    """The steps of one device and format of states."""

    def norm(self, norm: Norm) -> Norm:
        """Return a norm in the format that these steps take."""
        ...

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        """Return the norm of the sum of both; `product` is lost."""
        ...


def between_for(device: str, form: torch.dtype, width: int) -> Between:
    """Return the steps for a device and a format and width of states: the fastest that can be used there."""
    library = kernels()
    is_taken = form in (torch.float32, torch.bfloat16) and takes_rows(width)
    if device == "cpu" and is_taken and library is not None:
        return Native(library, form)
    return Plain(form)


class Native:
    """Steps by kernels of our own; see `Between`."""

    def __init__(self, library: ctypes.CDLL, form: torch.dtype) -> None:
        self._norms = Norms(library, form)

    def norm(self, norm: Norm) -> Norm:
        return norm.to(torch.float32)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        return self._norms.layer(product, states, norm.weight, norm.bias, norm.eps)


@dataclass(frozen=True, slots=True)
class Plain:
    """Steps by PyTorch's operations; see `Between`."""

    form: torch.dtype

    def norm(self, norm: Norm) -> Norm:
        return norm.to(self.form)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        both = product.add_(states)
        return functional.layer_norm(both, norm.weight.shape, norm.weight, norm.bias, norm.eps)
