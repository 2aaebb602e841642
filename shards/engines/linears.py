"""Matrix products with the weights laid out once, for the device and the number format in use.

oneDNN multiplies weights that it has reordered for itself 1.1 to 2 times as fast as plain ones, and
small batches most of all: a plain weight is reordered again at every call.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from shards.engines.int8 import Int8Linear

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


def pack(weight: torch.Tensor, bias: torch.Tensor | None, dtype: str, device: str) -> Linear:
    """Return the product with `weight` (`[outputs, inputs]`, any float format) and `bias`.

    Args:
        dtype: `fp32`, `bf16`, `fp16` or `int8`.
        device: where states will be; int8 is for `cpu` alone.
    """
    if dtype == "int8":
        return Int8Linear(weight, bias)
    form = FORMATS[dtype]
    bias = None if bias is None else bias.to(device, form)
    weight = weight.to(device, form)
    if device == "cpu" and _onednn_takes(form):
        return _onednn(weight, bias)
    return lambda states: functional.linear(states.to(form), weight, bias)


def _onednn_takes(form: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if form == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return form == torch.float32


def _onednn(weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
    form = weight.dtype
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
    product = torch.ops.mkldnn._linear_pointwise

    def linear(states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = product(states.to(form), packed, bias, "none", [], "")
        return result

    return linear
