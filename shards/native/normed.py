"""RMSNorm and LayerNorm of rows, with what is added to them before. See `normed.c`."""

import ctypes
from typing import Any

import torch

from shards.native.arguments import address
from shards.native.rows import CRows, Rows, made, read

_NONE = CRows(None, None, 0, 0)


class _Normed(ctypes.Structure):
    _fields_ = (
        *((name, CRows) for name in ("rows", "plus", "out")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "shares", "codes")),
        ("eps", ctypes.c_double),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


class Norms:
    """The norms of one format of results."""

    def __init__(self, library: ctypes.CDLL, form: torch.dtype) -> None:
        """`form` is fp32, bf16, or u8 for codes with a scale a row."""
        self._kernel = library.native_normed
        self._kernel.argtypes = (ctypes.POINTER(_Normed),)
        self._kernel.restype = None
        self._form = form

    def rms(
        self, states: torch.Tensor, weight: torch.Tensor, eps: float, added: Rows | None = None
    ) -> Rows:
        """Return the RMSNorm of `[rows, width]`; `added` is added to the states first, in place."""
        count, width = states.shape
        if added is None:
            first, plus = read("states", states, count, width), _NONE
        else:
            first, plus = _both(added, states)
        out, out_rows = made(count, width, self._form)
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
    ) -> Rows:
        """Return the LayerNorm of the sum of `product` and `states`, which stay as they are."""
        return self._layer(product, states, weight, bias, eps, None)[0]

    def layer_and_codes(
        self,
        product: Rows,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        eps: float,
        shares: torch.Tensor,
    ) -> tuple[Rows, torch.Tensor]:
        """Return `layer`, and the same as u8 codes: 128 + numbers * `shares`, held in their range."""
        codes = torch.empty(states.shape, dtype=torch.uint8)
        return self._layer(product, states, weight, bias, eps, (shares, codes))

    def _layer(self, product: Rows, states: torch.Tensor, *rest: Any) -> tuple[Rows, Any]:
        weight, bias, eps, coded = rest
        first, plus = _both(product, states)
        count, width = states.shape
        out, out_rows = made(count, width, self._form)
        weight_at = address("weight", weight, torch.float32, width)
        bias_at = address("bias", bias, torch.float32, width)
        shares_at = codes_at = codes = None
        if coded is not None:
            shares, codes = coded
            shares_at = address("shares", shares, torch.float32, width)
            codes_at = codes.data_ptr()
        self._run(
            *(first, plus, out_rows, weight_at, bias_at, shares_at, codes_at, eps, count, width)
        )
        return out, codes

    def _run(self, *values: Any) -> None:
        self._kernel(_Normed(*values))


def _both(rows: Rows, states: torch.Tensor) -> tuple[CRows, CRows]:
    count, width = states.shape
    return read("product", rows, count, width), read("states", states, count, width)
