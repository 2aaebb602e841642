"""Matrix products in int8 on a CPU: weights quantised by output channel, states by token.

Each row of states is quantised to u8 around a zero point of 128, multiplied, and the result is
scaled row by row. No calibration set is needed, and a row's result does not depend on the rows
beside it.

Where the kernels in C for AVX-512 run, they produce codes and scales (`Scaled`), and multiply them
(`shards.native.int8_product`). On a CPU without AVX-512 states are fp32 between the products
(`Avx2Product`); with AVX2 alone, which multiplies states in 16 bits as fast as in 8, they lose next
to nothing there. Elsewhere, and for weights of odd sizes, oneDNN multiplies (`Int8Linear`). Three
things about that are not obvious:

- u8 states use the CPU's VNNI instructions; s8 states run a reference kernel, 1000 times slower.
- oneDNN takes one scale for all rows, so it gets 1, and the rows are scaled afterwards.
- A row's scale is rounded to bf16 *before* it is used, so that scaling back in bf16 is exact.

Every step is an in-place operation on fp32 or bf16 alone: mixed types take PyTorch's slow path.
Pass some hundred rows at a time, so that the numbers between two steps stay in the cache.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import overload

import torch

from shards.engines.layers import race
from shards.engines.layers.timing import core_seconds, one_thread
from shards.native.arguments import takes_weights
from shards.native.avx2_product import Avx2Product, takes_bytes
from shards.native.int8_product import Int8Product
from shards.native.library import avx2_kernels, found_kernels, kernels
from shards.native.rows import ZERO, Rows, Scaled, row_converter

_LEVELS = 127  # of each sign
_ROWS = 128  # of a weight, quantised together
_SMALLEST = 1e-8  # so that a row of zeros has a scale
_PROBE = 128  # inputs and outputs of the product that shows a reference loop
_REFERENCE_SECONDS = 0.004


def int8_linear(
    weights: Sequence[torch.Tensor], bias: torch.Tensor | None = None
) -> "Int8Product | Avx2Product | Int8Linear":
    """Return `states @ weight.T + bias` in int8 for weights that lie one below the other.

    Args:
        weights: `[outputs, inputs]` each, in any float format.
        bias: one for all outputs together.
    """
    shapes = [weight.shape for weight in weights]
    library = kernels()
    if library is not None and takes_weights(shapes):
        if bias is None and _onednn_wins(library, shapes):
            return Int8Linear(torch.cat(list(weights)))
        return Int8Product(library, weights, bias)
    library = avx2_kernels()
    if library is not None and takes_bytes(shapes):
        return Avx2Product(library, weights, bias)
    return Int8Linear(torch.cat(list(weights)), bias)


def _onednn_wins(library: ctypes.CDLL, shapes: Sequence[Sequence[int]]) -> bool:
    return int8_works() and race.is_lost(
        "int8",
        found_kernels().tier,
        (sum(outputs for outputs, _ in shapes), shapes[0][1]),
        lambda weight: Int8Product(library, [weight]),
        Int8Linear,
        row_converter(library, torch.uint8),
    )


class Int8Linear:
    """`states @ weight.T + bias` by oneDNN for states in bf16 or fp32; the result is bf16."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        """Quantise `weight`, `[outputs, inputs]` in any float format; `bias` is `[outputs]`."""
        codes = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight))
        for first in range(0, len(weight), _ROWS):  # few enough to stay in the cache
            rows = slice(first, first + _ROWS)
            exact = weight[rows].to(torch.float32, copy=True)
            scales[rows] = exact.abs().amax(1).clamp_min_(_SMALLEST).div_(_LEVELS)
            codes[rows] = exact.div_(scales[rows, None]).round_()
        self._codes = torch.ops.onednn.qlinear_prepack(codes, None)
        self._scales = scales
        self._zeros = torch.zeros(len(scales), dtype=torch.int64)
        self._bias = None if bias is None else bias.to(torch.bfloat16)

    @overload
    def __call__(self, states: torch.Tensor) -> torch.Tensor: ...

    @overload
    def __call__(self, states: Scaled) -> Scaled: ...

    def __call__(self, states: Rows) -> Rows:
        """Return `[rows, outputs]` in bf16 for `[rows, inputs]`; of codes, with their scales."""
        if isinstance(states, Scaled):
            assert self._bias is None  # the bias would have to be divided by the scales
            return Scaled(self._product(states.numbers), states.scales)
        codes, scales = quantised(states)
        product = self._product(codes).mul_(scales)
        return product if self._bias is None else product.add_(self._bias)

    def _product(self, codes: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(codes, 1.0, ZERO, self._codes, self._scales, self._zeros),
            *(None, 1.0, 0, torch.bfloat16, "none", [], ""),
        )
        return product


def quantised(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `states` as u8 codes around 128, and the scale of each row, `[rows, 1]` bf16."""
    exact = states.float()
    largest = torch.maximum(exact.amax(1, keepdim=True), exact.amin(1, keepdim=True).neg_())
    scales = largest.clamp_min_(_SMALLEST).div_(_LEVELS).to(torch.bfloat16)
    codes = exact * scales.float().reciprocal_()
    return codes.add_(ZERO + 0.5).to(torch.uint8), scales


def keeps_fp32() -> bool:
    """Return whether states are fp32 between the products of int8 here.

    It is so where our kernels for AVX2 are the best that the CPU has.
    """
    return avx2_kernels() is not None


def has_int8() -> bool:
    """Return whether there is a kernel for int8 products, of ours or of oneDNN."""
    return keeps_fp32() or int8_works()


@cache
def int8_works() -> bool:
    """Return whether oneDNN has a kernel for int8 products in this PyTorch and on this CPU.

    A CPU without VNNI gets oneDNN's reference loop, which is some 350 times slower than fp32. That
    loop takes 20 ms for the product below, and a kernel less than 0.2 ms.
    """
    try:
        product = Int8Linear(torch.eye(_PROBE))
        states = torch.ones(32, _PROBE)
        if not product(states).isfinite().all():
            return False
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    with one_thread():
        seconds = min(core_seconds(lambda: product(states)) for _ in range(5))
    return seconds < _REFERENCE_SECONDS
