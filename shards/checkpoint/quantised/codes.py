"""Weights in codes of 4 or 8 bits with a scale for each block, so that a model ships small.

The form is ours alone, and a checkpoint names it in its config.json:

    "rerank_gateway": {"weights": {"bits": 4, "block": 32}}

A matrix `NAME` of `rows` and `columns` is then two tensors. `NAME.scales`, F16, has a scale for
each `block` of a row, `[rows, columns / block]`. `NAME.codes` has the weights: with 8 bits as I8,
`[rows, columns]`, of the value `code * scale`; with 4 bits as U8, `[rows, columns / 2]`, where byte
`j` of a row holds the weights `2 j` in its low half and `2 j + 1` in its high one, of the value
`(code - 8) * scale`. Other tensors are floats as usual.
"""

from functools import partial
from typing import TYPE_CHECKING

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.stored import Stored
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

_CODES, _SCALES = "codes", "scales"
_DTYPES = {4: "U8", 8: "I8"}
_ZERO_OF_4_BITS = 8
_ROWS = 4096  # at a time, so that little memory is needed besides the result


def codes(config: File, stored: Stored) -> Quantised:
    """Return the matrices that a checkpoint stores in codes of ours.

    Args:
        config: `rerank_gateway.weights` of its config.json.

    Raises:
        Refusal: the form is not known, or the tensors are not of it.
    """
    config.expect_keys(("bits", "block"))
    bits, block = config.count("bits"), config.count("block", least=2, most=1 << 16)
    if bits not in _DTYPES:
        raise config.refuse("bits", "4 or 8")
    if block is None or block % 2:
        raise config.refuse("block", "an even number of weights")
    names = stored.layers(_CODES)
    if lone := sorted(set(stored.layers(_SCALES)) - set(names)):
        raise Refusal(f"{stored.file}: there are no codes for {lone[0]}.{_SCALES}")
    matrices = {name: _matrix(stored, name, bits, block) for name in names}
    return Quantised(f"{bits} bits in blocks of {block}", matrices)


def _matrix(stored: Stored, name: str, bits: int, block: int) -> Matrix:
    parts = (f"{name}.{_CODES}", f"{name}.{_SCALES}")
    rows, columns = stored.matrix(parts[0])
    columns *= 8 // bits
    stored.expect(parts[0], (_DTYPES[bits],), [(rows, columns * bits // 8)])
    if columns % block:
        raise stored.misfit(parts[0], f"codes of {bits} bits in blocks of {block}")
    stored.expect(parts[1], ("F16",), [(rows, columns // block)])
    return Matrix(rows, columns, parts, partial(decoded, bits=bits, block=block), by_rows=True)


def decoded(codes: "torch.Tensor", scales: "torch.Tensor", bits: int, block: int) -> "torch.Tensor":
    """Return the weights that codes stand for, `[rows, columns]`, in fp32."""
    import torch

    weights = torch.empty(len(codes), scales.shape[1], block)
    for start in range(0, len(codes), _ROWS):
        some = codes[start : start + _ROWS]
        if bits == 4:
            halves = torch.stack((some & 15, some >> 4), dim=-1).to(torch.int8)
            some = halves.flatten(1) - _ZERO_OF_4_BITS
        part = weights[start : start + _ROWS]
        steps = scales[start : start + _ROWS, :, None].float()
        torch.mul(some.reshape(part.shape), steps, out=part)
    return weights.flatten(1)
