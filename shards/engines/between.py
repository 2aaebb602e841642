"""What lies between the products of an encoder layer: sums, norms, and codes of states for int8.

On a CPU kernels of our own go once through the rows, in fp32 (`shards.native`), where these can be used;
elsewhere it is PyTorch's operations.
"""

import ctypes
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from shards.native.library import kernels
from shards.native.normed import Norms
from shards.native.put import coded_by
from shards.native.rows import ZERO

_MOST = 255


@dataclass(frozen=True, slots=True)
class Norm:
    """The weights of a LayerNorm, fp32."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def to(self, form: torch.dtype) -> "Norm":
        return Norm(self.weight.to(form), self.bias.to(form), self.eps)


class Between(Protocol):
    """The steps of one device and format of states. Codes are u8, 128 + states * shares of channels."""

    def norm(self, norm: Norm) -> Norm:
        """Return a norm in the format that these steps take."""
        ...

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        """Return the norm of the sum of both; `product` is lost."""
        ...

    def normed_and_coded(
        self, product: torch.Tensor, states: torch.Tensor, norm: Norm, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `normed`, and its codes."""
        ...

    def coded(self, states: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Return states as codes."""
        ...


def between_for(device: str, form: torch.dtype) -> Between:
    """Return the steps for a device and a format of states: the fastest that can be used there."""
    library = kernels()
    if device == "cpu" and form in (torch.float32, torch.bfloat16) and library is not None:
        return Native(library, form)
    return Plain(form)


class Native:
    """Steps by kernels of our own; see `Between`."""

    def __init__(self, library: ctypes.CDLL, form: torch.dtype) -> None:
        self._norms = Norms(library, form)
        self._coded = coded_by(library)

    def norm(self, norm: Norm) -> Norm:
        return norm.to(torch.float32)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        return self._norms.layer(product, states, norm.weight, norm.bias, norm.eps)

    def normed_and_coded(
        self, product: torch.Tensor, states: torch.Tensor, norm: Norm, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weights = (norm.weight, norm.bias, norm.eps)
        return self._norms.layer_and_codes(product, states, *weights, shares)

    def coded(self, states: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        return self._coded(states, shares)


@dataclass(frozen=True, slots=True)
class Plain:
    """Steps by PyTorch's operations; see `Between`."""

    form: torch.dtype

    def norm(self, norm: Norm) -> Norm:
        return norm.to(self.form)

    def normed(self, product: torch.Tensor, states: torch.Tensor, norm: Norm) -> torch.Tensor:
        both = product.add_(states)
        return functional.layer_norm(both, norm.weight.shape, norm.weight, norm.bias, norm.eps)

    def normed_and_coded(
        self, product: torch.Tensor, states: torch.Tensor, norm: Norm, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        normed = self.normed(product, states, norm)
        return normed, self.coded(normed, shares)

    def coded(self, states: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        steps = states.to(torch.float32, copy=True).mul_(shares)
        return steps.add_(ZERO + 0.5).clamp_(0, _MOST).to(torch.uint8)
