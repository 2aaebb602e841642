"""Products of bf16 with weights in bf16, summed up in fp32. See `wide.c`."""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import address
from shards.native.panels import CProduct, CWeights, check_sizes

_SIZE = 2  # bytes of a number


class _Laying(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("panels", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


class WideProduct:
    """`states @ weight.T + bias`; all is bf16, and rounded once."""

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: Sequence[torch.Tensor],
        bias: torch.Tensor | None = None,
    ) -> None:
        """Lay out weights that lie one below the other.

        Args:
            weights: `[outputs, inputs]` each, in any float format.
            bias: of all outputs.

        Raises:
            WrongArgument: the kernel does not take them, see `panels.lays_out`.
        """
        check_sizes(weights)
        self._kernel = library.native_wide_product
        self._kernel.argtypes = (ctypes.POINTER(CProduct),)
        self._kernel.restype = None
        self._outputs, self._inputs = sum(map(len, weights)), weights[0].shape[1]
        self._panels = torch.empty(self._outputs * self._inputs, dtype=torch.bfloat16)
        self._bias = None if bias is None else bias.float().contiguous()
        bias_at = None
        if self._bias is not None:
            bias_at = address("bias", self._bias, torch.float32, self._outputs)
        self._weights = CWeights(
            self._panels.data_ptr(), None, None, bias_at, self._inputs * _SIZE, self._outputs
        )
        self._lay(library, weights)

    def _lay(self, library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> None:
        kernel = library.native_lay_wide
        kernel.argtypes = (ctypes.POINTER(_Laying), ctypes.c_int64)
        kernel.restype = None
        first = 0
        for weight in weights:
            rows = weight.to(torch.bfloat16).contiguous()
            at = address("weight", rows, torch.bfloat16, len(weight), self._inputs)
            kernel(_Laying(at, self._panels.data_ptr(), self._inputs * _SIZE, first), len(weight))
            first += len(weight)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return `[rows, outputs]` for `[rows, inputs]`."""
        count = len(states)
        states_at = address("states", states, torch.bfloat16, count, self._inputs)
        out = torch.empty(count, self._outputs, dtype=torch.bfloat16)
        self._kernel(CProduct(states_at, None, self._weights, out.data_ptr(), count))
        return out
