"""Layers of `bert` in int8 on a CPU: products take codes, and what follows is inside them or one pass.

States are quantised by scales that were measured beforehand on some texts (`Ranges`), so that nothing
has to be looked for in them, and a row's result does not depend on the rows beside it:

- Each channel has its own step, and the weights behind it take the difference over (SmoothQuant, Xiao
  et al., 2023, section 4): channels that are always large leave the others their precision.
- What attention gives is a mean of values, so the scale of a channel is put into the product that
  makes the values, and the result comes in steps of the codes already.
- GELU and its quantisation happen inside the product, which gives codes at once; they reach from the
  least that GELU can give to the largest that was seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from shards.engines.bert import FloatLayer
from shards.engines.bert_weights import LayerWeights, Matrix
from shards.engines.between import between_for

_ZERO = 128
_LEVELS = 127
_MOST = 255
_HEADROOM = 1.25  # what comes later may be larger than what was seen; beyond it is cut off
_SMALLEST = 1e-6
_LEAST_OF_GELU = -0.17


@dataclass(frozen=True, slots=True)
class Ranges:
    """How large the inputs of a layer's products become, `[channels]` each."""

    qkv: torch.Tensor
    out: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


class Recorder:
    """Stands before a product and notes the largest input of each channel."""

    def __init__(self, linear: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._linear = linear
        self.largest = torch.zeros(1)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        self.largest = torch.maximum(self.largest, states.abs().amax(0).float())
        return self._linear(states)


def recorded(layer: FloatLayer) -> tuple[FloatLayer, Callable[[], Ranges]]:
    """Return a layer that notes its ranges, and what gives them afterwards."""
    qkv, out, up, down = map(Recorder, (layer.qkv, layer.out, layer.up, layer.down))
    recording = replace(layer, qkv=qkv, out=out, up=up, down=down)
    return recording, lambda: Ranges(qkv.largest, out.largest, up.largest, down.largest)


class Product:
    """`codes @ weight.T + bias` with codes in u8; what follows is inside the product."""

    def __init__(self, matrix: Matrix, step: float = 1.0, zero: int = _ZERO) -> None:
        """Quantise `matrix`, whose inputs come as codes: `step * (code - zero)`."""
        exact = matrix.weight.float()
        scales = exact.abs().amax(1).clamp_min_(_SMALLEST).div_(_LEVELS)
        codes = (exact / scales[:, None]).round_().to(torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(codes, None)
        self._operands = (step, zero, packed, scales, torch.zeros(len(scales), dtype=torch.int64))
        self._bias = matrix.bias.float()

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Return `[rows, outputs]` in bf16."""
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            codes, *self._operands, self._bias, 1.0, 0, torch.bfloat16, "none", [], ""
        )
        return product

    def gelu_codes(self, codes: torch.Tensor, step: float, zero: int) -> torch.Tensor:
        """Return GELU of the product as codes: `step * (code - zero)`."""
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(codes, *self._operands, self._bias, step, zero, torch.uint8, "gelu", [], "none"),
        )
        return product


class Int8Layer:
    """See `shards.engines.bert.Layer`."""

    def __init__(self, weights: LayerWeights, ranges: Ranges) -> None:
        """Quantise a layer whose inputs are as large as `ranges` says."""
        qkv_steps = _steps(ranges.qkv, weights.qkv.weight)
        out_steps = _steps(ranges.out, weights.out.weight)
        up_steps = _steps(ranges.up, weights.up.weight)
        largest = float(ranges.down.max()) * _HEADROOM
        self._gelu = (largest - _LEAST_OF_GELU) / _MOST
        self._gelu_zero = round(-_LEAST_OF_GELU / self._gelu)
        self._qkv = Product(_values_divided(_inputs_times(weights.qkv, qkv_steps), out_steps))
        self._out = Product(_inputs_times(weights.out, out_steps))
        self._up = Product(_inputs_times(weights.up, up_steps))
        self._down = Product(weights.down, self._gelu, self._gelu_zero)
        self._qkv_shares, self._up_shares = 1 / qkv_steps, 1 / up_steps
        self._out_shares = torch.ones_like(out_steps)  # values come in steps already
        self._between = between_for("cpu", torch.bfloat16)
        self._attention_norm = self._between.norm(weights.attention_norm)
        self._norm = self._between.norm(weights.norm)

    def project(self, states: torch.Tensor) -> torch.Tensor:
        return self._qkv(self._between.coded(states, self._qkv_shares))

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        between = self._between
        product = self._out(between.coded(attended, self._out_shares))
        states, codes = between.normed_and_coded(
            product, states, self._attention_norm, self._up_shares
        )
        grown = self._up.gelu_codes(codes, self._gelu, self._gelu_zero)
        return between.normed(self._down(grown), states, self._norm)


def _steps(largest: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the step of each channel, `[inputs]`."""
    largest = largest.clamp_min(_SMALLEST) * _HEADROOM
    of_weight = weight.float().abs().amax(0).clamp_min(_SMALLEST)
    shares = (largest / of_weight).sqrt()
    return shares * ((largest / shares).max() / _LEVELS)


def _inputs_times(matrix: Matrix, scales: torch.Tensor) -> Matrix:
    return Matrix(matrix.weight.float() * scales, matrix.bias)


def _values_divided(matrix: Matrix, scales: torch.Tensor) -> Matrix:
    """Divide the rows that make the values, the last third."""
    divisors = torch.cat([torch.ones(2 * len(scales)), scales])
    return Matrix(matrix.weight / divisors[:, None], matrix.bias.float() / divisors)
