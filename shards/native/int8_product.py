"""Products in int8 of states and weights: exact sums of codes, scaled once.

See `int8_product.c`.
"""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import address, kernel
from shards.native.panels import Bias, CProduct, CWeights, check_sizes
from shards.native.rows import CRows, Rows, Scaled, read, row_converter


class _Quantising(ctypes.Structure):
    _fields_ = (
        ("rows", CRows),
        *((name, ctypes.c_void_p) for name in ("panels", "starts", "scales")),
        ("width", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


class Int8Product:
    """`states @ weight.T + bias` in int8, with a result in bf16.

    Weights are quantised by output, states by row.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: Sequence[torch.Tensor],
        bias: torch.Tensor | None = None,
    ) -> None:
        """Quantise weights that lie one below the other, and lay them out.

        Args:
            weights: `[outputs, inputs]` each, fp32, bf16 or fp16.
            bias: one for all outputs together.

        Raises:
            WrongArgument: the kernel does not take them, see `takes_weights`.
        """
        check_sizes(weights)
        self._quantised = row_converter(library, torch.uint8)
        self._kernel = kernel(library, "native_int8_product", ctypes.POINTER(CProduct))
        outputs, self._inputs = sum(map(len, weights)), weights[0].shape[1]
        self._panels = torch.empty(outputs * self._inputs, dtype=torch.int8)
        self._scales = torch.empty(outputs)
        self._starts = torch.empty(outputs, dtype=torch.int32)
        self._bias = Bias(bias, outputs)
        kept = (self._panels, self._starts, self._scales)
        self._addresses = tuple(tensor.data_ptr() for tensor in kept)
        self._weights = CWeights(*self._addresses, self._bias.at, self._inputs, outputs)
        self._lay(library, weights)

    def _lay(self, library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> None:
        quantise = kernel(library, "native_quantise", ctypes.POINTER(_Quantising), ctypes.c_int64)
        first = 0
        for weight in weights:
            exact = weight.float() if weight.dtype == torch.float16 else weight
            rows = read("weight", exact, len(weight), self._inputs)
            quantise(_Quantising(rows, *self._addresses, self._inputs, first), len(weight))
            first += len(weight)

    def __call__(self, states: Rows) -> torch.Tensor:
        """Return `[rows, outputs]` for `[rows, inputs]` in fp32, in bf16, or as scaled codes."""
        codes = states if isinstance(states, Scaled) else self._quantised(states)
        assert isinstance(codes, Scaled)
        count, outputs = len(codes.numbers), len(self._scales)
        codes_at = address("codes", codes.numbers, torch.uint8, count, self._inputs)
        scales_at = address("scales", codes.scales, torch.float32, count)
        out = torch.empty(count, outputs, dtype=torch.bfloat16)
        self._kernel(CProduct(codes_at, scales_at, self._weights, out.data_ptr(), count))
        return out
