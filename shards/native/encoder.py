"""The part of an int8 encoder layer between two attentions, in two passes through its rows.

Rows are independent of each other there. So a thread takes some of them through products, norms and
GELU while they are in its cache, and waits for no other thread in between. See `encoder.c`.
"""

import ctypes
from dataclasses import dataclass

import torch

from shards.native.arguments import (
    MOST_WIDTH,
    OUTPUTS,
    WrongArgument,
    address,
    kernel,
    takes_encoder_weights,
)
from shards.native.normed import Norm
from shards.native.panels import CWeights, in_panels
from shards.native.rows import CRows, read


@dataclass(frozen=True, slots=True)
class Codes:
    """The weights of a product of codes: `(codes - zero) @ (weights * scales).T + bias`.

    Attributes:
        weights: int8, `[outputs, inputs]`.
        scales, bias: fp32, `[outputs]`.
        zero: the code of 0 among the inputs.
    """

    weights: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor
    zero: int


class _Norm(ctypes.Structure):
    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("eps", ctypes.c_double),
    )


class _Project(ctypes.Structure):
    _fields_ = (
        ("states", CRows),
        ("out", ctypes.c_void_p),
        ("shares", ctypes.c_void_p),
        ("weights", ctypes.POINTER(CWeights)),
        ("count", ctypes.c_int64),
        ("dim", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


class _Finish(ctypes.Structure):
    _fields_ = (
        ("attended", CRows),
        ("states", CRows),
        *((name, ctypes.POINTER(CWeights)) for name in ("out", "up", "down")),
        ("shares", ctypes.c_void_p),
        ("first", _Norm),
        ("second", _Norm),
        ("gelu", ctypes.c_double),
        ("zero", ctypes.c_int64),
        ("count", ctypes.c_int64),
    )


class Panels:
    """Weights laid out for kernels, padded to whole panels."""

    def __init__(self, library: ctypes.CDLL, codes: Codes) -> None:
        """Lay out the weights of `codes`."""
        outputs, inputs = codes.weights.shape
        if not takes_encoder_weights(outputs, inputs) or codes.weights.dtype != torch.int8:
            raise WrongArgument(
                f"weights are {codes.weights.dtype} {[outputs, inputs]}; the kernel takes "
                f"torch.int8, inputs in fours, at most {MOST_WIDTH} of each"
            )
        self.inputs, self.outputs = inputs, outputs
        padded = -(-outputs // OUTPUTS) * OUTPUTS
        weights = torch.zeros(padded, inputs, dtype=torch.int8)
        weights[:outputs] = codes.weights
        sums = weights.sum(1, dtype=torch.int32)
        self._kept = (
            in_panels(library, [weights]),
            sums.mul_(-codes.zero),
            _padded(codes.scales, padded),
            _padded(codes.bias, padded),
        )
        self.at = CWeights(*(tensor.data_ptr() for tensor in self._kept), inputs, outputs)


def _padded(numbers: torch.Tensor, count: int) -> torch.Tensor:
    padded = torch.zeros(count)
    padded[: len(numbers)] = numbers
    return padded


class Projection:
    """The product of an attention: states to codes, and codes to queries, keys and values."""

    def __init__(
        self, library: ctypes.CDLL, codes: Codes, shares: torch.Tensor, heads: int
    ) -> None:
        """Lay out the weights.

        Args:
            codes: weights whose outputs are those of all heads, in order.
            shares: by channel: codes of states are 128 + states * shares, fp32, `[inputs]`.
            heads: the number of heads, all of one size.
        """
        self._kernel = kernel(library, "native_project", ctypes.POINTER(_Project))
        self._weights = Panels(library, codes)
        self._shares = shares.contiguous()
        self._shares_at = address("shares", self._shares, torch.float32, self._weights.inputs)
        self._heads, self._dim = heads, self._weights.outputs // heads
        if heads * self._dim != self._weights.outputs:
            raise WrongArgument(f"{self._weights.outputs} outputs are not those of {heads} heads")

    def __call__(self, states: torch.Tensor, first_head: int = 0) -> torch.Tensor:
        """Return `[heads, rows, dim]` in the format of the states, fp32 or bf16.

        Heads before `first_head` may stay uninitialised memory: do not read them.
        """
        count = len(states)
        out = torch.empty(self._heads, count, self._dim, dtype=states.dtype)
        described = read("states", states, count, self._weights.inputs)
        first = first_head * self._dim // OUTPUTS * OUTPUTS
        fixed = (self._shares_at, ctypes.pointer(self._weights.at), count, self._dim, first)
        self._kernel(_Project(described, out.data_ptr(), *fixed))
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The part of a layer behind its attention.

    Attributes:
        out, up, down: the products; the input of `out` is in steps of its codes already.
        first, second: the norms behind `out` and `down`.
        shares: by channel behind the first norm: codes are 128 + states * shares.
        gelu: the step of the codes of GELU, which lies between `up` and `down`.
    """

    out: Codes
    first: Norm
    shares: torch.Tensor
    up: Codes
    gelu: float
    down: Codes
    second: Norm


class Finish:
    """The pass of rows through the part of a layer behind its attention."""

    def __init__(self, library: ctypes.CDLL, rest: Rest) -> None:
        self._kernel = kernel(library, "native_finish", ctypes.POINTER(_Finish))
        self._products = [Panels(library, codes) for codes in (rest.out, rest.up, rest.down)]
        out, up, down = self._products
        self.width = up.inputs
        if not self.width == out.inputs == out.outputs == down.outputs or up.outputs != down.inputs:
            shapes = [[panels.outputs, panels.inputs] for panels in self._products]
            raise WrongArgument(f"weights of {shapes} do not follow one another")
        self._kept = rest
        pointers = [ctypes.pointer(panels.at) for panels in self._products]
        shares = address("shares", rest.shares, torch.float32, self.width)
        norms = [self._norm(norm) for norm in (rest.first, rest.second)]
        self._fixed = (*pointers, shares, *norms, rest.gelu, rest.down.zero)

    def _norm(self, norm: Norm) -> _Norm:
        weight = address("weight", norm.weight, torch.float32, self.width)
        return _Norm(weight, address("bias", norm.bias, torch.float32, self.width), norm.eps)

    def __call__(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        """Replace `states`, `[rows, width]`, by those behind the layer, in place."""
        count = len(states)
        rows = (
            read("attended", attended, count, self.width),
            read("states", states, count, self.width),
        )
        self._kernel(_Finish(*rows, *self._fixed, count))
