"""MLX: matrices as codes in words, with a scale and an offset for each group of columns.

| part | |
|---|---|
| `weight` | U32 `[rows, columns * bits / 32]` |
| `scales`, `biases` | floats `[rows, columns / group size]` |

A weight is `code * scale + bias`. Embeddings are stored so as well. config.json names the form as
`quantization`, with the values of single layers by their names.
Source: MLX 0.32 (`mx.quantize`, mode `affine`), mlx-lm 0.31.
"""

from functools import partial
from typing import TYPE_CHECKING

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.packed import BITS, WORD, unpacked
from shards.checkpoint.quantised.spread import FLOATS, spread
from shards.checkpoint.quantised.stored import Stored

if TYPE_CHECKING:
    import torch


def mlx(config: File, stored: Stored) -> Quantised:
    """Return the matrices of an MLX checkpoint.

    Args:
        config: `quantization` of its config.json.
    """
    config.choice("mode", ("affine",), "affine")
    layers = stored.layers("scales")
    matrices = {f"{layer}.weight": _matrix(config, stored, layer) for layer in layers}
    bits = sorted(
        {WORD * stored.matrix(one.parts[0])[1] // one.columns for one in matrices.values()}
    )
    return Quantised(f"MLX, {' and '.join(map(str, bits)) or 'no'} bits", matrices)


def _matrix(config: File, stored: Stored, layer: str) -> Matrix:
    form = config.object(layer) if isinstance(config.content.get(layer), dict) else config
    form.choice("mode", ("affine",), "affine")
    bits, size = form.count("bits"), form.count("group_size")
    if bits not in BITS:
        raise form.refuse("bits", " or ".join(map(str, BITS)))
    if size is None:
        raise form.refuse("group_size", "a number of columns")
    weight, scales, biases = (f"{layer}.{part}" for part in ("weight", "scales", "biases"))
    rows, words = stored.matrix(weight)
    columns = words * WORD // bits
    if columns % size:
        raise stored.misfit(weight, f"codes of {bits} bits in groups of {size}")
    stored.expect(weight, ("U32",), [(rows, words)])
    for part in (scales, biases):
        stored.expect(part, FLOATS, [(rows, columns // size)])
    decode = partial(_weights, bits=bits)
    return Matrix(rows, columns, (weight, scales, biases), decode, by_rows=True)


def _weights(
    words: "torch.Tensor", scales: "torch.Tensor", biases: "torch.Tensor", *, bits: int
) -> "torch.Tensor":
    import torch

    weights = unpacked(words.view(torch.int32), bits).float()
    rows, columns = weights.shape
    weights *= spread(scales, rows, columns)
    weights += spread(biases, rows, columns)
    return weights
