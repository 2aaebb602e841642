"""Products of bf16 with weights in bf16, summed up in fp32. See `bf16_product.c`."""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import address, kernel
from shards.native.panels import Bias, CProduct, CWeights, check_sizes, in_panels

_DTYPE = torch.bfloat16


class Bf16Product:
    """`states @ weight.T + bias` in bf16; the result is rounded once."""

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: Sequence[torch.Tensor],
        bias: torch.Tensor | None = None,
    ) -> None:
        """Lay out weights that lie one below the other.

        Args:
            weights: `[outputs, inputs]` each, in any float format.
            bias: one for all outputs together.

        Raises:
            WrongArgument: the kernel does not take them, see `takes_weights`.
        """
        check_sizes(weights)
        self._kernel = kernel(library, "native_bf16_product", ctypes.POINTER(CProduct))
        self._outputs, self._inputs = sum(map(len, weights)), weights[0].shape[1]
        self._panels = in_panels(library, [weight.to(_DTYPE).contiguous() for weight in weights])
        self._bias = Bias(bias, self._outputs)
        addresses = (self._panels.data_ptr(), None, None, self._bias.at)
        self._weights = CWeights(*addresses, self._inputs * _DTYPE.itemsize, self._outputs)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return `[rows, outputs]` in bf16 for `[rows, inputs]` in any float format."""
        count = len(states)
        rounded = states.to(_DTYPE).contiguous()
        states_at = address("states", rounded, _DTYPE, count, self._inputs)
        out = torch.empty(count, self._outputs, dtype=_DTYPE)
        self._kernel(CProduct(states_at, None, self._weights, out.data_ptr(), count))
        return out
