"""GGUF: rows of blocks, each with its scales inside, as llama.cpp stores them.

| blocks of 32 | | a weight is |
|---|---|---|
| Q8_0 | F16 scale, 32 codes of I8 | `scale * code` |
| Q4_0 | F16 scale, 16 bytes | `scale * (code - 8)` |
| Q4_1 | F16 scale, F16 least, 16 bytes | `scale * code + least` |
| Q5_0 | F16 scale, 32 high bits, 16 bytes | `scale * (code - 16)` |
| Q5_1 | F16 scale, F16 least, 32 high bits, 16 bytes | `scale * code + least` |

The low halves of the 16 bytes are the first 16 codes, the high ones the others.

| blocks of 256 | | a weight is |
|---|---|---|
| Q4_K | F16 scale, F16 step, 12 bytes, 128 bytes | `scale * a * code - step * b` |
| Q5_K | the same, with 256 high bits before the 128 bytes | the same |
| Q6_K | 128 bytes, 64 bytes, 16 numbers `a` of I8, F16 scale | `scale * a * (code - 32)` |

Each 32 weights of Q4_K and Q5_K have numbers `a` and `b` of 6 bits, in the 12 bytes; each 16 of
Q6_K have an `a`.

Source: ggml (`ggml-common.h`, `ggml-quants.c`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.stored import Stored
from shards.wire.gguf_file import KINDS, Kind

if TYPE_CHECKING:
    import torch

BEFORE = "rows_before"
"""The key of the form that says how many rows of zeros stand before the rows of a tensor."""

_ROWS = 2048  # at a time, so that little memory is needed besides the result
_BLOCKS = {kind.name: kind for kind in KINDS.values() if kind.numbers > 1}


def gguf(config: File, stored: Stored) -> Quantised:
    """Return the matrices of a GGUF file.

    Args:
        config: `quantization_config` of the config.json that was made for it.
    """
    matrices = {
        name: _matrix(stored, name, kind)
        for kind in _BLOCKS.values()
        for name in stored.of_dtype(kind.name)
    }
    kinds = Counter(map(stored.dtype, matrices))
    before = config.object(BEFORE)
    for name in before.content:
        matrices[name] = _moved(stored, name, before.count(name) or 0, matrices.get(name))
    summary = ", ".join(["GGUF", *(kind for kind, _ in kinds.most_common())]) if kinds else ""
    return Quantised(summary, matrices)


def _matrix(stored: Stored, name: str, kind: Kind) -> Matrix:
    rows, row_bytes = stored.matrix(name)
    columns = row_bytes // kind.bytes * kind.numbers
    return Matrix(rows, columns, (name,), partial(_weights, kind), by_rows=True)


def _moved(stored: Stored, name: str, before: int, blocks: Matrix | None) -> Matrix:
    """Return a matrix with rows of zeros before those that are stored."""
    rows, columns = (blocks.rows, blocks.columns) if blocks else stored.matrix(name)

    def decode(part: "torch.Tensor") -> "torch.Tensor":
        import torch

        found = blocks.decode(part) if blocks else part.float()
        return torch.cat([torch.zeros(before, columns), found])

    return Matrix(before + rows, columns, (name,), decode)


def _weights(kind: Kind, rows: "torch.Tensor") -> "torch.Tensor":
    """Return weights in fp32, `[rows, columns]`, from bytes, `[rows, bytes of a row]`."""
    import torch

    blocks = rows.shape[1] // kind.bytes
    weights = torch.empty(len(rows), blocks, kind.numbers)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        part = some.reshape(-1, kind.bytes)
        found = _DECODERS[kind.name](part)
        weights[start : start + _ROWS] = found.view(len(some), blocks, kind.numbers)
    return weights.flatten(1)


def _halves(part: "torch.Tensor") -> "torch.Tensor":
    """Return the F16 numbers of bytes in fp32, `[blocks, bytes / 2]`."""
    import torch

    return part.contiguous().view(torch.float16).float()


def _nibbles(part: "torch.Tensor") -> "torch.Tensor":
    """Return the low halves of bytes, then the high ones, `[blocks, 2 * bytes]`."""
    import torch

    return torch.cat((part & 15, part >> 4), dim=1)


def _bits(part: "torch.Tensor") -> "torch.Tensor":
    """Return the bits of bytes, the lowest first, `[blocks, 8 * bytes]`."""
    import torch

    return (part[:, :, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(1)


def _q8_0(part: "torch.Tensor") -> "torch.Tensor":
    import torch

    return part[:, 2:].contiguous().view(torch.int8).float().mul_(_halves(part[:, :2]))


def _q4_0(part: "torch.Tensor") -> "torch.Tensor":
    return (_nibbles(part[:, 2:]).float() - 8).mul_(_halves(part[:, :2]))


def _q4_1(part: "torch.Tensor") -> "torch.Tensor":
    scale, least = _halves(part[:, :2]), _halves(part[:, 2:4])
    return _nibbles(part[:, 4:]).float().mul_(scale).add_(least)


def _q5_0(part: "torch.Tensor") -> "torch.Tensor":
    codes = _nibbles(part[:, 6:]) | _bits(part[:, 2:6]) << 4
    return (codes.float() - 16).mul_(_halves(part[:, :2]))


def _q5_1(part: "torch.Tensor") -> "torch.Tensor":
    scale, least = _halves(part[:, :2]), _halves(part[:, 2:4])
    codes = _nibbles(part[:, 8:]) | _bits(part[:, 4:8]) << 4
    return codes.float().mul_(scale).add_(least)


def _q4_k(part: "torch.Tensor") -> "torch.Tensor":
    return _with_offsets(part, _by_32(part[:, 16:]))


def _q5_k(part: "torch.Tensor") -> "torch.Tensor":
    import torch

    # Bit `b` of byte `j` belongs to code `j` of the group `b`.
    high = part[:, None, 16:48] >> torch.arange(8, dtype=torch.uint8)[:, None] & 1
    return _with_offsets(part, _by_32(part[:, 48:]) | high << 4)


def _by_32(part: "torch.Tensor") -> "torch.Tensor":
    """Return groups of 32 codes: of 32 bytes each, the low halves, then the high ones."""
    import torch

    bytes_of = part.reshape(len(part), -1, 1, 32)
    return torch.cat((bytes_of & 15, bytes_of >> 4), dim=2).view(len(part), -1, 32)


def _with_offsets(part: "torch.Tensor", codes: "torch.Tensor") -> "torch.Tensor":
    import torch

    scale, step = _halves(part[:, :2]), _halves(part[:, 2:4])
    low, middle, high = part[:, 4:8], part[:, 8:12], part[:, 12:16]
    scales = torch.cat((low & 63, high & 15 | low >> 2 & 48), dim=1)
    offsets = torch.cat((middle & 63, high >> 4 | middle >> 2 & 48), dim=1)
    weights = codes.float().mul_((scale * scales.float())[:, :, None])
    return weights.sub_((step * offsets.float())[:, :, None]).flatten(1)


def _q6_k(part: "torch.Tensor") -> "torch.Tensor":
    import torch

    low = part[:, :128].reshape(-1, 2, 1, 64)
    low = torch.cat((low & 15, low >> 4), dim=2).view(-1, 8, 32)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8)[:, None]
    high = (part[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3).view(-1, 8, 32)
    scales = _halves(part[:, 208:]) * part[:, 192:208].contiguous().view(torch.int8).float()
    codes = (low | high << 4).view(-1, 16, 16).float() - 32
    return codes.mul_(scales[:, :, None]).flatten(1)


_DECODERS: Mapping[str, "Callable[[torch.Tensor], torch.Tensor]"] = {
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
