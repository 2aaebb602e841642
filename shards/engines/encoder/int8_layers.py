"""Layers of an encoder in int8 with scales known beforehand, by our own kernels or by oneDNN.

Our kernels take rows through a layer in two passes, with fp32 between products
(`shards.native.encoder`). Where they cannot be used, products are oneDNN's, GELU and its codes
inside them, and PyTorch's operations do the rest, some rows at a time.
"""

import math

import torch
from torch.nn import functional

from shards.engines.encoder.bert import Layer
from shards.engines.layers.packed_encoder_layout import tiles
from shards.native.arguments import takes_encoder_weights
from shards.native.encoder import Codes, Finish, Projection, Rest
from shards.native.library import kernels
from shards.native.normed import Norm
from shards.native.rows import ZERO

_MOST = 255


def layer_of(heads: int, qkv: Codes, shares: torch.Tensor, rest: Rest) -> Layer:
    """Return a layer that runs our kernels if they can be used.

    Args:
        shares: codes of states are 128 + states * shares, `[hidden]`.
    """
    library = kernels()
    products = (qkv, rest.out, rest.up, rest.down)
    if library is not None and all(takes_encoder_weights(*it.weights.shape) for it in products):
        projection = Projection(library, qkv, shares, 3 * heads)
        return KernelLayer(heads, projection, Finish(library, rest))
    return PlainLayer(heads, qkv, shares, rest)


class KernelLayer:
    """A layer of our own kernels; see `shards.engines.encoder.bert.Layer`."""

    def __init__(self, heads: int, projection: Projection, finish: Finish) -> None:
        self._heads = heads
        self._projection = projection
        self.finish = finish

    def project(self, states: torch.Tensor, starts: torch.Tensor | None = None) -> torch.Tensor:
        if starts is None:
            return self._split(self._projection(states))
        products = self._split(self._projection(states, self._heads))
        products[starts, 0] = self._split(self._projection(states[starts]))[:, 0]
        return products

    def _split(self, by_head: torch.Tensor) -> torch.Tensor:
        return by_head.view(3, self._heads, *by_head.shape[1:]).permute(2, 0, 1, 3)


class Product:
    """oneDNN's product with codes in u8; bias and GELU are inside it."""

    def __init__(self, codes: Codes) -> None:
        packed = torch.ops.onednn.qlinear_prepack(codes.weights, None)
        zeros = torch.zeros(len(codes.scales), dtype=torch.int64)
        self._operands = (1.0, codes.zero, packed, codes.scales, zeros)
        self._bias = codes.bias

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Return `[rows, outputs]` in bf16."""
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            codes, *self._operands, self._bias, 1.0, 0, torch.bfloat16, "none", [], ""
        )
        return product

    def gelu_codes(self, codes: torch.Tensor, step: float, zero: int) -> torch.Tensor:
        """Return GELU of the product as codes: `step * (code - zero)`."""
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(codes, *self._operands, self._bias, step, zero, torch.uint8, "gelu", [], "none"),
        )
        return product


class PlainLayer:
    """A layer of oneDNN's products; see `shards.engines.encoder.bert.Layer`."""

    def __init__(self, heads: int, qkv: Codes, shares: torch.Tensor, rest: Rest) -> None:
        self._heads = heads
        self._qkv, self._shares, self._rest = Product(qkv), shares, rest
        self._out, self._up, self._down = map(Product, (rest.out, rest.up, rest.down))
        self._attended_shares = torch.ones_like(shares)

    def project(self, states: torch.Tensor, starts: torch.Tensor | None = None) -> torch.Tensor:
        products = [self._of(states[rows], self._shares, self._qkv) for rows in tiles(states)]
        return torch.cat(products).view(len(states), 3, self._heads, -1)

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        rest = self._rest
        for rows in tiles(states):
            product = self._of(attended[rows], self._attended_shares, self._out)
            normed = _normed(product.add_(states[rows]), rest.first)
            steps = _steps(normed, rest.shares)
            codes = self._up.gelu_codes(_coded(steps), rest.gelu, rest.down.zero)
            states[rows] = _normed(self._down(codes).add_(normed), rest.second)

    @staticmethod
    def _of(states: torch.Tensor, shares: torch.Tensor, product: Product) -> torch.Tensor:
        """Return a product of states; a row with a NaN, which codes lack, gives a row of NaN."""
        steps = _steps(states, shares)
        are_numbers = math.isfinite(float(steps.sum()))
        found = product(_coded(steps))
        return (
            found
            if are_numbers
            else found.add_(_steps(states, shares).sum(1, keepdim=True).mul_(0))
        )


def _normed(states: torch.Tensor, norm: Norm) -> torch.Tensor:
    weight, bias = norm.weight.to(states.dtype), norm.bias.to(states.dtype)
    return functional.layer_norm(states, weight.shape, weight, bias, norm.eps)


def _steps(states: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return states.to(torch.float32, copy=True).mul_(shares)


def _coded(steps: torch.Tensor) -> torch.Tensor:
    """Return steps as codes; the steps are overwritten."""
    return steps.add_(ZERO + 0.5).clamp_(0, _MOST).to(torch.uint8)
