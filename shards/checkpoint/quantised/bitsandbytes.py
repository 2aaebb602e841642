"""bitsandbytes: 4 bits by a table of 16 values (NF4, FP4), and 8 bits with a scale for each row.

| part | 4 bits | 8 bits |
|---|---|---|
| `weight` | U8 `[weights / 2, 1]`, two codes a byte, the first one high | I8 `[rows, columns]` |
| `weight.absmax` | F32, the largest value of each block; or U8, a code for it | |
| `weight.quant_map` | F32 `[16]`, the value of each code | |
| `weight.nested_absmax`, `weight.nested_quant_map` | F32, the same for the codes of `absmax` | |
| `weight.quant_state.bitsandbytes__nf4` (or `fp4`) | U8, JSON: shape, block sizes, offset | |
| `SCB` | | F32 `[rows]`, 127 times the scale |
| `weight_format` | | U8, 0 |

Source: bitsandbytes 0.50 (`functional.QuantState`, `nn.Linear8bitLt`).
"""

from functools import partial
from typing import TYPE_CHECKING

from shards.checkpoint.bounded import parse_json
from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.stored import Stored
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

_STATE = "quant_state.bitsandbytes__"
_TABLES = ("nf4", "fp4")
_LARGEST_CODE = 127
_DEEPEST = 2


def bitsandbytes(config: File, stored: Stored) -> Quantised:
    """Return the matrices of a bitsandbytes checkpoint.

    Args:
        config: `quantization_config` of its config.json; the tensors say all that matters.
    """
    matrices, states, kinds = {}, set(), set()
    for table in _TABLES:
        for weight in stored.layers(f"{_STATE}{table}"):
            state = f"{weight}.{_STATE}{table}"
            matrices[weight] = _four_bits(stored, weight, state)
            states.add(state)
            kinds.add(f"{table.upper()}, 4 bits")
    for layer in stored.layers("SCB"):
        matrices[f"{layer}.weight"] = _eight_bits(stored, layer)
        kinds.add("8 bits")
    unused = stored.all_of(("weight_format",)) | states
    return Quantised(f"bitsandbytes, {', '.join(sorted(kinds)) or 'no layer'}", matrices, unused)


def _four_bits(stored: Stored, weight: str, state: str) -> Matrix:
    about = File(state, _parsed(stored, state))
    rows, columns = _sizes(about)
    block = about.count("blocksize") or 64
    if (rows * columns) % block:
        raise about.refuse("blocksize", f"a divisor of {rows * columns}")
    blocks = rows * columns // block
    stored.expect(weight, ("U8",), [(rows * columns // 2, 1)])
    stored.expect(f"{weight}.quant_map", ("F32",), [(16,)])
    parts = [weight, f"{weight}.quant_map", f"{weight}.absmax"]
    inner = about.count("nested_blocksize") if "nested_blocksize" in about else 0
    stored.expect(parts[2], ("U8",) if inner else ("F32",), [(blocks,)])
    if inner:
        parts += [f"{weight}.nested_quant_map", f"{weight}.nested_absmax"]
        stored.expect(parts[3], ("F32",), [(256,)])
        stored.expect(parts[4], ("F32",), [(-(-blocks // inner),)])
    offset = _offset(about) if inner else 0.0
    decode = partial(_four_bit_weights, rows, columns, block, inner or 0, offset)
    return Matrix(rows, columns, tuple(parts), decode)


def _parsed(stored: Stored, state: str) -> dict[str, object]:
    """Return the JSON object that a tensor of bytes is."""
    if stored.dtype(state) != "U8":
        raise stored.misfit(state, "U8")
    try:
        found = parse_json(stored.read(state).numpy().tobytes(), _DEEPEST)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(f"{state} is no JSON object; download the checkpoint again")
    return found


def _sizes(about: File) -> tuple[int, int]:
    shape = about.content.get("shape")
    if (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(size) is int and 0 < size < 1 << 31 for size in shape)
        and shape[0] * shape[1] % 2 == 0
    ):
        return shape[0], shape[1]
    raise about.refuse("shape", "the shape of a matrix")


def _offset(about: File) -> float:
    found = about.content.get("nested_offset")
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise about.refuse("nested_offset", "a number")
    return float(found)


def _four_bit_weights(
    rows: int,
    columns: int,
    block: int,
    inner: int,
    offset: float,
    codes: "torch.Tensor",
    table: "torch.Tensor",
    largest: "torch.Tensor",
    inner_table: "torch.Tensor | None" = None,
    inner_largest: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    import torch

    if inner_table is not None and inner_largest is not None:
        scales = inner_largest.repeat_interleave(inner)[: len(largest)]
        largest = inner_table[largest.long()] * scales + offset
    codes = codes.flatten()
    weights = torch.empty(len(codes), 2)
    weights[:, 0] = table[(codes >> 4).long()]
    weights[:, 1] = table[(codes & 15).long()]
    blocks = weights.view(-1, block)
    blocks *= largest[:, None]
    return weights.view(rows, columns)


def _eight_bits(stored: Stored, layer: str) -> Matrix:
    weight, scales = f"{layer}.weight", f"{layer}.SCB"
    rows, columns = stored.matrix(weight)
    stored.expect(weight, ("I8",), [(rows, columns)])
    stored.expect(scales, ("F32",), [(rows,)])
    if (form := f"{layer}.weight_format") in stored and int(stored.read(form)):
        raise Refusal(f"{form} is {int(stored.read(form))}, 0 (row after row) is expected")
    return Matrix(rows, columns, (weight, scales), _eight_bit_weights, by_rows=True)


def _eight_bit_weights(codes: "torch.Tensor", scales: "torch.Tensor") -> "torch.Tensor":
    return codes.float() * (scales / _LARGEST_CODE)[:, None]
