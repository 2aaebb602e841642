"""Matrix products with the weights laid out once, for the device and the number format in use.

oneDNN multiplies weights that it has reordered for itself 1.1 to 2 times as fast as plain ones, and
small batches most of all: a plain weight is reordered again at every call. In bf16 a kernel of our own
(`shards/native/bf16_product.c`) is faster still at some ten to a hundred rows, and takes any number of them; where
GELU follows, and for odd sizes, oneDNN multiplies.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from shards.engines.int8 import int8_linear
from shards.native.bf16_product import Bf16Product
from shards.native.int8_product import Int8Product
from shards.native.library import kernels
from shards.native.sizes import takes_weights

Linear = Callable[[torch.Tensor], torch.Tensor]
"""Takes `[rows, inputs]` in any float format and returns `[rows, outputs]` in that of the states."""

FORMATS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.bfloat16,
}
"""What states are in, by the name of the number format."""

_TYPICAL_ROWS = 256  # what oneDNN's layout is chosen for; others work as well


def pack(
    weight: torch.Tensor | Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    dtype: str,
    device: str,
    activation: str = "none",
) -> Linear:
    """Return the product with `weight` (`[outputs, inputs]`, any float format) and `bias`.

    Args:
        weight: or several, which lie one below the other.
        dtype: `fp32`, `bf16`, `fp16` or `int8`.
        device: where states will be; int8 is for `cpu` alone.
        activation: what follows the product: `none` or `gelu`, the exact one.
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
    is_ours = (dtype, device, activation) == ("bf16", "cpu", "none")
    if library and is_ours and takes_weights(one.shape for one in weights):
        return Bf16Product(library, weights, bias)
    weight = torch.cat(list(weights)) if len(weights) > 1 else weights[0]
    form = FORMATS[dtype]
    bias = None if bias is None else bias.to(device, form)
    weight = weight.to(device, form)
    if device == "cpu" and _onednn_takes(form):
        return _Packed(weight, bias, activation)
    return lambda states: functional.linear(states.to(form), weight, bias)


def as_they_lie(weights: Sequence[torch.Tensor], dtype: str) -> Linear:
    """Return the product with weights that lie one below the other, on a CPU, without a copy of them.

    For weights that are used once or twice: to lay them out takes longer than it saves.
    """
    form = FORMATS[dtype]
    plain = [weight.to(form) for weight in weights]

    def product(states: torch.Tensor) -> torch.Tensor:
        products = [functional.linear(states, weight) for weight in plain]
        return torch.cat(products, dim=1) if len(products) > 1 else products[0]

    return product


def _onednn_takes(form: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if form == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return form == torch.float32


def takes_any_rows(linear: object) -> bool:
    """Whether a product is as fast for any number of rows, for it makes no kernel for each."""
    return isinstance(linear, Int8Product | Bf16Product)


class _Packed:
    """A product in oneDNN's own layout, its bias and activation in the same step."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
        self._bias = bias
        self._form = weight.dtype
        self._activation = activation
        self._kind = "none" if activation == "gelu" else ""  # of GELU: the exact one

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states.to(self._form), self._weight, self._bias, self._activation, [], self._kind
        )
        return result
