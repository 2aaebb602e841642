"""Products of states in fp32 with weights in int8, for CPUs with AVX2 and without AVX-512.

See `avx2_product.c`.
"""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import MOST_WIDTH, WrongArgument, address, kernel
from shards.native.panels import Bias
from shards.native.rows import read

_PANEL = 16  # outputs
_WORDS = 2  # inputs that an instruction adds up, of codes in 16 bits


class _Bytes(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "starts", "scales", "bias")),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


class _Product(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("weights", _Bytes),
        ("out", ctypes.c_void_p),
    )


class _BytesOfRows(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("is_bf16", ctypes.c_int64),
        ("first", ctypes.c_int64),
        ("to", _Bytes),
        ("count", ctypes.c_int64),
    )


def takes_bytes(shapes: Sequence[Sequence[int]]) -> bool:
    """Return whether the product takes weights `[outputs, inputs]` one below the other."""
    return all(outputs > 0 and 0 < inputs <= MOST_WIDTH for outputs, inputs in shapes)


class Avx2Product:
    """`states @ weight.T + bias` for states in fp32, with a result in fp32.

    Weights are quantised to int8 by output, states by row: to 16 bits, or to 8 with AVX-VNNI.
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
            WrongArgument: inputs differ, or are too many.
        """
        shapes = [list(weight.shape) for weight in weights]
        if not takes_bytes(shapes) or len({inputs for _, inputs in shapes}) != 1:
            raise WrongArgument(
                f"weights are {shapes}; the kernel takes any number of outputs, and the same "
                f"number of inputs for all, at most {MOST_WIDTH}"
            )
        self._kernel = kernel(library, "native_avx2_product", ctypes.POINTER(_Product))
        self._outputs, self._inputs = sum(map(len, weights)), shapes[0][1]
        group = kernel(library, "native_avx2_group", result=ctypes.c_int64)()
        self._codes = torch.int16 if group == _WORDS else torch.uint8
        self._wide = -(-self._inputs // group) * group
        padded = -(-self._outputs // _PANEL) * _PANEL
        self._panels = torch.zeros(padded * self._wide, dtype=torch.int8)
        self._starts = torch.zeros(padded, dtype=torch.int32)
        self._scales = torch.zeros(padded)
        self._bias = Bias(_padded(bias, self._outputs, padded), padded)
        kept = (self._panels, self._starts, self._scales)
        addresses = (tensor.data_ptr() for tensor in kept)
        self._weights = _Bytes(*addresses, self._bias.at, self._inputs, self._outputs)
        self._lay(library, weights)

    def _lay(self, library: ctypes.CDLL, weights: Sequence[torch.Tensor]) -> None:
        quantise = kernel(library, "native_quantise_bytes", ctypes.POINTER(_BytesOfRows))
        first = 0
        for weight in weights:
            exact = weight.float() if weight.dtype == torch.float16 else weight
            exact = exact.contiguous()
            form = torch.bfloat16 if exact.dtype == torch.bfloat16 else torch.float32
            at = address("weight", exact, form, len(weight), self._inputs)
            is_bf16 = form == torch.bfloat16
            quantise(_BytesOfRows(at, is_bf16, first, self._weights, len(weight)))
            first += len(weight)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return `[rows, outputs]` in fp32 for `[rows, inputs]` in any float format."""
        count = len(states)
        exact = states.float()
        rows = read("states", exact, count, self._inputs)
        codes = torch.empty(count, self._wide, dtype=self._codes)
        scales, out = torch.empty(count), torch.empty(count, self._outputs)
        room = (codes.data_ptr(), scales.data_ptr())
        self._kernel(_Product(rows.at, rows.step, count, *room, self._weights, out.data_ptr()))
        return out


def _padded(bias: torch.Tensor | None, outputs: int, padded: int) -> torch.Tensor | None:
    if bias is None:
        return None
    if bias.shape != (outputs,):
        raise WrongArgument(f"bias is {list(bias.shape)}; the kernel takes [{outputs}]")
    return torch.nn.functional.pad(bias.float(), (0, padded - outputs))
