"""Products of codes with weights in int8: exact sums, scaled once. See `codes.c`."""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import address, kernel
from shards.native.panels import Bias, CProduct, CWeights, check_sizes
from shards.native.rows import CRows, Scaled, read


class _Laying(ctypes.Structure):
    _fields_ = (
        ("rows", CRows),
        *((name, ctypes.c_void_p) for name in ("panels", "starts", "scales")),
        ("width", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


class CodedProduct:
    """`codes @ weight.T + bias` for weights that were quantised by output; the result is bf16."""

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: Sequence[torch.Tensor],
        bias: torch.Tensor | None = None,
    ) -> None:
        """Quantise weights that lie one below the other, and lay them out.

        Args:
            weights: `[outputs, inputs]` each, fp32 or bf16.
            bias: of all outputs.

        Raises:
            WrongArgument: the kernel does not take them, see `sizes.takes_weights`.
        """
        check_sizes(weights)
        self._kernel = kernel(library, "native_coded_product", ctypes.POINTER(CProduct))
        outputs, self._inputs = sum(map(len, weights)), weights[0].shape[1]
        self._panels = torch.empty(outputs * self._inputs, dtype=torch.int8)
        self._scales = torch.empty(outputs)
        self._starts = torch.empty(outputs, dtype=torch.int32)
        self._bias = Bias(bias, outputs)
        self._places = tuple(one.data_ptr() for one in (self._panels, self._starts, self._scales))
        self._weights = CWeights(*self._places, self._bias.at, self._inputs, outputs)
        self._lay(library, weights)

    def _lay(self, library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> None:
        lay = kernel(library, "native_lay_weights", ctypes.POINTER(_Laying), ctypes.c_int64)
        first = 0
        for weight in weights:
            rows = read("weight", weight, len(weight), self._inputs)
            lay(_Laying(rows, *self._places, self._inputs, first), len(weight))
            first += len(weight)

    def __call__(self, states: Scaled) -> torch.Tensor:
        """Return `[rows, outputs]` in bf16 for codes `[rows, inputs]` with their scales."""
        count, outputs = len(states.numbers), len(self._scales)
        codes_at = address("codes", states.numbers, torch.uint8, count, self._inputs)
        scales_at = address("scales", states.scales, torch.float32, count)
        out = torch.empty(count, outputs, dtype=torch.bfloat16)
        self._kernel(CProduct(codes_at, scales_at, self._weights, out.data_ptr(), count))
        return out
