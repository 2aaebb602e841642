"""Matrix products with the weights laid out once, for the device and the number format in use.

oneDNN multiplies weights that it has reordered for itself 1.1 to 2 times as fast as plain ones, and
small batches most of all: a plain weight is reordered again at every call. In bf16 a kernel in C
(`shards/native/bf16_product.c`) is faster still at some ten to a hundred rows, and takes any number
of them. Where GELU follows, for odd sizes, and where it is clearly faster (`race`), oneDNN
multiplies.
"""

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from shards.engines.layers import race
from shards.engines.layers.int8 import int8_linear, keeps_fp32
from shards.native.arguments import takes_weights
from shards.native.avx2_product import Avx2Product
from shards.native.bf16_product import Bf16Product
from shards.native.int8_product import Int8Product
from shards.native.library import found_kernels, kernels

Linear = Callable[[torch.Tensor], torch.Tensor]
"""A product: `[rows, inputs]` in any float format to `[rows, outputs]` in that of the states."""

FORMATS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.bfloat16,
}
"""The format of states, by the name of the number format; of int8 see `format_of`."""

_TYPICAL_ROWS = 256  # for which oneDNN chooses its layout; other numbers work as well


def format_of(dtype: str) -> torch.dtype:
    """Return the format of states between the products of a number format, on this machine."""
    return torch.float32 if dtype == "int8" and keeps_fp32() else FORMATS[dtype]


def pack(
    weight: torch.Tensor | Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    dtype: str,
    device: str,
    activation: str = "none",
) -> Linear:
    """Return the product with `weight` (`[outputs, inputs]`, any float format) and `bias`.

    Args:
        weight: one weight, or several that lie one below the other.
        dtype: `fp32`, `bf16`, `fp16` or `int8`.
        device: the device of the states; int8 is for `cpu` alone.
        activation: the function behind the product: `none` or `gelu`, the exact one.
    """
    weights = [weight] if isinstance(weight, torch.Tensor) else weight
    linear = _pack(weights, bias, dtype, device, activation)
    if activation == "none" or isinstance(linear, _Packed):
        return linear
    return lambda states: functional.gelu(linear(states))


def _pack(
    weights: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    dtype: str,
    device: str,
    activation: str,
) -> Linear:
    if dtype == "int8":
        return int8_linear(weights, bias)
    library = kernels()
    is_plain_bf16 = (dtype, device, activation) == ("bf16", "cpu", "none")
    is_ours = library and is_plain_bf16 and takes_weights(weight.shape for weight in weights)
    if library and is_ours and not _onednn_wins(library, weights):
        return Bf16Product(library, weights, bias)
    weight = torch.cat(list(weights)) if len(weights) > 1 else weights[0]
    float_dtype = FORMATS[dtype]
    bias = None if bias is None else bias.to(device, float_dtype)
    weight = weight.to(device, float_dtype)
    if device == "cpu" and _onednn_takes(float_dtype):
        return _Packed(weight, bias, activation)
    return lambda states: functional.linear(states.to(float_dtype), weight, bias)


def _onednn_wins(library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> bool:
    return _onednn_takes(torch.bfloat16) and race.is_lost(
        "bf16",
        found_kernels().tier,
        (sum(map(len, weights)), weights[0].shape[1]),
        lambda weight: Bf16Product(library, [weight]),
        onednn_product,
    )


def as_they_lie(weights: Sequence[torch.Tensor], dtype: str) -> Linear:
    """Return the product with weights that lie one below the other, on a CPU, without a copy.

    For weights that are used once or twice: laying them out takes longer than it saves.
    """
    plain = [weight.to(FORMATS[dtype]) for weight in weights]

    def product(states: torch.Tensor) -> torch.Tensor:
        products = [functional.linear(states, weight) for weight in plain]
        return torch.cat(products, dim=1) if len(products) > 1 else products[0]

    return product


def onednn_product(weight: torch.Tensor) -> Linear:
    """Return oneDNN's product with `weight`, fp32 or bf16, laid out for it."""
    return _Packed(weight, None, "none")


def _onednn_takes(dtype: torch.dtype) -> bool:
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # untyped
    if not has_onednn:
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def takes_any_rows(linear: object) -> bool:
    """Return whether a product generates no kernel for each number of rows."""
    return isinstance(linear, Int8Product | Avx2Product | Bf16Product)


class _Packed:
    """A product in oneDNN's own layout, its bias and activation in the same step."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
        self._bias = bias
        self._dtype = weight.dtype
        self._activation = activation
        self._kind = "none" if activation == "gelu" else ""  # of GELU: the exact one

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states.to(self._dtype), self._weight, self._bias, self._activation, [], self._kind
        )
        return result
