"""Layers of `bert` in int8 on a CPU: the meaning of the codes; `int8_layers` multiplies them.

States are quantised by scales that were measured beforehand on some texts (`Ranges`). So no maximum
is searched at run time, and a row's result does not depend on the rows beside it:

- Each channel has its own step, and the weights behind it compensate (SmoothQuant, Xiao et al.,
  2023, section 4): channels that are always large leave the others their precision.
- The result of attention is a mean of values. So the scale of a channel is part of the product
  that makes the values, and the result comes in steps of the codes already.
- The result of GELU becomes codes at once; they reach from the least value of GELU to the largest
  that was seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from shards.engines.encoder.bert import FloatLayer, Layer
from shards.engines.encoder.bert_weights import LayerWeights, Matrix
from shards.engines.encoder.int8_layers import layer_of
from shards.native.encoder import Codes, Rest
from shards.native.rows import ZERO
from shards.refusal import Refusal

_LEVELS = 127
_MOST = 255
_HEADROOM = 1.25  # later states may be larger than those measured; beyond this they are clipped
_SMALLEST = 1e-6
_LEAST_OF_GELU = -0.17


@dataclass(frozen=True, slots=True)
class Ranges:
    """The largest inputs of a layer's products, `[channels]` each."""

    qkv: torch.Tensor
    out: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


class Recorder:
    """A product that notes the largest input of each channel."""

    def __init__(self, linear: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._linear = linear
        self.largest = torch.zeros(1)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        self.largest = torch.maximum(self.largest, states.abs().amax(0).float())
        return self._linear(states)


def recorded(layer: FloatLayer) -> tuple[FloatLayer, Callable[[], Ranges]]:
    """Return a layer that notes its ranges, and a function that returns them afterwards."""
    qkv, out, up, down = map(Recorder, (layer.qkv, layer.out, layer.up, layer.down))
    recording = replace(layer, qkv=qkv, out=out, up=up, down=down)
    return recording, lambda: Ranges(qkv.largest, out.largest, up.largest, down.largest)


def int8_layer(weights: LayerWeights, ranges: Ranges) -> Layer:
    """Quantise a layer whose inputs are as large as `ranges`."""
    qkv_steps = _steps(ranges.qkv, weights.qkv.weight)
    out_steps = _steps(ranges.out, weights.out.weight)
    up_steps = _steps(ranges.up, weights.up.weight)
    largest = float(ranges.down.max()) * _HEADROOM
    gelu = (largest - _LEAST_OF_GELU) / _MOST
    return layer_of(
        weights.heads,
        codes_of(_values_divided(_inputs_times(weights.qkv, qkv_steps), out_steps)),
        1 / qkv_steps,
        Rest(
            out=codes_of(_inputs_times(weights.out, out_steps)),
            first=weights.attention_norm.to(torch.float32),
            shares=1 / up_steps,
            up=codes_of(_inputs_times(weights.up, up_steps)),
            gelu=gelu,
            down=codes_of(weights.down, gelu, round(-_LEAST_OF_GELU / gelu)),
            second=weights.norm.to(torch.float32),
        ),
    )


def codes_of(matrix: Matrix, step: float = 1.0, zero: int = ZERO) -> Codes:
    """Quantise a matrix whose inputs come as codes: `step * (code - zero)`.

    Raises:
        Refusal: not all of it are finite numbers; codes have no NaN to pass on.
    """
    exact = matrix.weight.float()
    scales = exact.abs().amax(1).clamp_min_(_SMALLEST).div_(_LEVELS)
    if not bool((scales * step + matrix.bias).isfinite().all()):
        raise Refusal(
            "a layer cannot be made in int8: weights or biases of it, or its states when the known "
            "pairs are scored, are not finite numbers; the checkpoint is damaged: download it again"
        )
    codes = (exact / scales[:, None]).round_().to(torch.int8)
    return Codes(codes, scales * step, matrix.bias.float(), zero)


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
