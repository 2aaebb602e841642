"""The layer of an encoder in int8 between two attentions, in two passes through its rows. See `encoder.c`.

Rows do not see each other there, so a thread takes some of them through products, norms and GELU while they are
in its cache, and no thread waits for another in between.
"""

import ctypes
from dataclasses import dataclass

import torch

from shards.native.arguments import WrongArgument, address, kernel
from shards.native.normed import Norm
from shards.native.panels import CWeights, in_panels
from shards.native.rows import CRows, read
from shards.native.sizes import MOST_WIDTH, OUTPUTS, takes_encoder_weights


@dataclass(frozen=True, slots=True)
class Codes:
    """What codes are multiplied with: `(codes - zero) @ (weights * scales).T + bias`.

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
    """Weights as kernels take them."""

    def __init__(self, library: ctypes.CDLL, codes: Codes) -> None:
        """Lay `codes` out."""
        outputs, inputs = codes.weights.shape
        if not takes_encoder_weights(outputs, inputs) or codes.weights.dtype != torch.int8:
            raise WrongArgument(
                f"weights are {codes.weights.dtype} {[outputs, inputs]}; the kernel takes torch.int8, "
                f"inputs in fours, at most {MOST_WIDTH} of each"
            )
        self.inputs, self.outputs = inputs, outputs
        filled = -(-outputs // OUTPUTS) * OUTPUTS
        weights = torch.zeros(filled, inputs, dtype=torch.int8)
        weights[:outputs] = codes.weights
        sums = weights.sum(1, dtype=torch.int32)
        self._kept = (
            in_panels(library, [weights]),
            sums.mul_(-codes.zero),
            _filled(codes.scales, filled),
            _filled(codes.bias, filled),
        )
        self.at = CWeights(*(one.data_ptr() for one in self._kept), inputs, outputs)


def _filled(numbers: torch.Tensor, count: int) -> torch.Tensor:
    filled = torch.zeros(count)
    filled[: len(numbers)] = numbers
    return filled


class Projection:
    """Makes codes of states, and of these queries, keys and values."""

    def __init__(
        self, library: ctypes.CDLL, codes: Codes, shares: torch.Tensor, heads: int
    ) -> None:
        """Take what makes as many numbers for each of so many heads.

        Args:
            shares: codes of states are 128 + states * shares, fp32, `[inputs]`.
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

        Heads before `first_head` may be left as they were in memory: nobody should look at them.
        """
        count = len(states)
        out = torch.empty(self._heads, count, self._dim, dtype=states.dtype)
        of = read("states", states, count, self._weights.inputs)
        first = first_head * self._dim // OUTPUTS * OUTPUTS
        fixed = (self._shares_at, ctypes.pointer(self._weights.at), count, self._dim, first)
        self._kernel(_Project(of, out.data_ptr(), *fixed))
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What follows attention in a layer.

    Attributes:
        out, up, down: the products; what comes to `out` is in steps of its codes already.
        first, second: the norms behind `out` and `down`.
        shares: of the channels behind the first norm: codes are 128 + states * shares.
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
    """Takes rows through what follows attention."""

    def __init__(self, library: ctypes.CDLL, rest: Rest) -> None:
        self._kernel = kernel(library, "native_finish", ctypes.POINTER(_Finish))
        self._products = [Panels(library, one) for one in (rest.out, rest.up, rest.down)]
        out, up, down = self._products
        self.width = up.inputs
        if not self.width == out.inputs == out.outputs == down.outputs or up.outputs != down.inputs:
            shapes = [[one.outputs, one.inputs] for one in self._products]
            raise WrongArgument(f"weights of {shapes} do not follow one another")
        self._kept = rest
        pointers = [ctypes.pointer(one.at) for one in self._products]
        shares = address("shares", rest.shares, torch.float32, self.width)
        norms = [self._norm(one) for one in (rest.first, rest.second)]
        self._fixed = (*pointers, shares, *norms, rest.gelu, rest.down.zero)

    def _norm(self, norm: Norm) -> _Norm:
        weight = address("weight", norm.weight, torch.float32, self.width)
        return _Norm(weight, address("bias", norm.bias, torch.float32, self.width), norm.eps)

    def __call__(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        """Change `states`, `[rows, width]`, to what they are behind the layer."""
        count = len(states)
        rows = (
            read("attended", attended, count, self.width),
            read("states", states, count, self.width),
        )
        self._kernel(_Finish(*rows, *self._fixed, count))
