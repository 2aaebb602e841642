"""RMSNorm and LayerNorm of rows, after an addition to them. See `normed.h`."""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch

from shards.native.arguments import address, kernel
from shards.native.rows import CRows, Rows, new_rows, numbers_of, read

_NONE = CRows(None, None, 0, 0)


@dataclass(frozen=True, slots=True)
class Norm:
    """The weights of a LayerNorm, fp32."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def to(self, dtype: torch.dtype) -> "Norm":
        return Norm(self.weight.to(dtype), self.bias.to(dtype), self.eps)


class _Normed(ctypes.Structure):
    _fields_ = (
        *((name, CRows) for name in ("rows", "plus", "out")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "shares", "codes")),
        ("eps", ctypes.c_double),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


class Norms:
    """The norms with results of one format."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        """Take the format of results: fp32, bf16, or, for RMSNorm alone, u8 for scaled codes."""
        self._kernel = kernel(library, "native_normed", ctypes.POINTER(_Normed))
        self._dtype = dtype

    def rms(
        self, states: torch.Tensor, weight: torch.Tensor, eps: float, added: Rows | None = None
    ) -> Rows:
        """Return the RMSNorm of `[rows, width]`, after adding `added` to the states in place."""
        count, width = states.shape
        if added is None:
            first, plus = read("states", states, count, width), _NONE
        else:
            first, plus = _both(added, states)
        out, out_rows = new_rows(count, width, self._dtype)
        pointer = address("weight", weight, torch.float32, width)
        self._run(first, plus, out_rows, pointer, None, None, None, eps, count, width)
        return out

    def layer(
        self,
        product: Rows,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        eps: float,
    ) -> torch.Tensor:
        """Return the LayerNorm of the sum of `product` and `states`; neither is changed."""
        first, plus = _both(product, states)
        count, width = states.shape
        out, out_rows = new_rows(count, width, self._dtype)
        pointers = (
            address("weight", weight, torch.float32, width),
            address("bias", bias, torch.float32, width),
        )
        self._run(first, plus, out_rows, *pointers, None, None, eps, count, width)
        return numbers_of(out)

    def _run(self, *values: Any) -> None:
        self._kernel(_Normed(*values))


def _both(rows: Rows, states: torch.Tensor) -> tuple[CRows, CRows]:
    count, width = states.shape
    return read("product", rows, count, width), read("states", states, count, width)
