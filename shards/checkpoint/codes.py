"""Weights in codes of 4 or 8 bits with a scale for each block, so that a model ships small.

The form is ours alone, and a checkpoint names it in its config.json:

    "rerank_gateway": {"weights": {"bits": 4, "block": 32}}

A matrix `NAME` of `rows` and `columns` is then two tensors. `NAME.scales`, F16, has a scale for
each `block` of a row, `[rows, columns / block]`. `NAME.codes` has the weights: with 8 bits as I8,
`[rows, columns]`, of the value `code * scale`; with 4 bits as U8, `[rows, columns / 2]`, where byte
`j` of a row holds the weights `2 j` in its low half and `2 j + 1` in its high one, of the value
`(code - 8) * scale`. Other tensors are floats as usual.

Codes are turned into fp32 when they are read, and the model is computed in any format from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shards.checkpoint.expect import File
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Headers = Mapping[str, Mapping[str, Any]]

_CODES, _SCALES = ".codes", ".scales"
_DTYPES = {4: "U8", 8: "I8"}
_ZERO_OF_4_BITS = 8
_ROWS = 4096  # at a time, so that little memory is needed besides the result


@dataclass(frozen=True, slots=True)
class Codes:
    """The matrices of a checkpoint that are stored in codes.

    Attributes:
        bits: 4 or 8.
        block: the number of weights that share a scale.
        shapes: the shape of each matrix, by name.
    """

    bits: int
    block: int
    shapes: Mapping[str, tuple[int, int]]

    def stored_rows(
        self, name: str, stored: "Callable[[str], torch.Tensor]"
    ) -> "Callable[[torch.Tensor], torch.Tensor]":
        """Return a function from numbers of rows to these rows in fp32; the codes stay as they are.

        Args:
            stored: returns a stored tensor.
        """
        # Copies: a file that is written anew in its place would change what is mapped.
        codes, scales = (stored(f"{name}{ending}").clone() for ending in (_CODES, _SCALES))
        return lambda rows: decoded(codes[rows], scales[rows], self.bits, self.block)

    def read(
        self, name: str, stored: "Callable[[str], torch.Tensor]", rows: slice | None = None
    ) -> "torch.Tensor":
        """Return a matrix, or some of its rows, in fp32.

        Args:
            stored: returns a stored tensor.
        """
        codes, scales = (stored(f"{name}{ending}") for ending in (_CODES, _SCALES))
        if rows is not None:
            codes, scales = codes[rows], scales[rows]
        return decoded(codes, scales, self.bits, self.block)


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


def codes_of(config: File, headers: Headers) -> Codes | None:
    """Return the codes that a checkpoint stores; `None` where its config.json names none.

    Args:
        headers: the description of each stored tensor.

    Raises:
        Refusal: the form is not known, or the tensors are not of it.
    """
    ours = config.object("rerank_gateway").object("weights")
    if not ours.content:
        return None
    ours.expect_keys(("bits", "block"))
    bits, block = ours.count("bits"), ours.count("block", least=2, most=1 << 16)
    if bits not in _DTYPES:
        raise ours.refuse("bits", "4 or 8")
    if block is None or block % 2:
        raise ours.refuse("block", "an even number of weights")
    names = [name.removesuffix(_CODES) for name in headers if name.endswith(_CODES)]
    shapes = {name: _shape(name, headers, bits, block, config.name) for name in names}
    lone = {name for name in headers if name.endswith(_SCALES)} - {f"{n}{_SCALES}" for n in names}
    if lone:
        raise Refusal(f"{config.name}: there are no codes for {sorted(lone)[0]}")
    return Codes(bits, block, shapes)


def _shape(name: str, headers: Headers, bits: int, block: int, config: str) -> tuple[int, int]:
    """Return the shape of a matrix, whose two tensors must agree."""
    codes, scales = headers[f"{name}{_CODES}"], headers.get(f"{name}{_SCALES}")
    shape = codes["shape"]
    if (
        scales is not None
        and len(shape) == 2
        and (codes["dtype"], scales["dtype"])
        == (
            _DTYPES[bits],
            "F16",
        )
    ):
        rows, columns = shape[0], shape[1] * (8 // bits)
        if columns % block == 0 and scales["shape"] == [rows, columns // block]:
            return rows, columns
    found = f"{codes['dtype']} {shape} and {_described(scales)}"
    raise Refusal(
        f"{config}: {name} is stored as {found}, which are no codes of {bits} bits in blocks of "
        f"{block} with their scales: download the checkpoint again"
    )


def _described(scales: Mapping[str, Any] | None) -> str:
    return f"{scales['dtype']} {scales['shape']}" if scales else "no scales"


def without_codes(codes: Codes | None, named: Mapping[str, T]) -> dict[str, T]:
    """Return what is known of stored tensors by the names of the matrices that codes stand for."""
    if codes is None:
        return dict(named)
    found = {name: named[f"{name}{_CODES}"] for name in codes.shapes}
    parts = {f"{name}{ending}" for name in codes.shapes for ending in (_CODES, _SCALES)}
    return found | {name: about for name, about in named.items() if name not in parts}


def logical_shapes(codes: Codes | None, headers: Headers) -> dict[str, Sequence[int]]:
    """Return the shape of each tensor by name, of codes that of their matrix."""
    stored = {name: about["shape"] for name, about in without_codes(codes, headers).items()}
    return stored | dict(codes.shapes if codes else {})
