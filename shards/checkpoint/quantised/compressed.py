"""compressed-tensors: matrices as packed integers, as int8 or as FP8, and FP8 in blocks.

| form | parts |
|---|---|
| packed integers | `weight_packed` I32 `[rows, words]`, `weight_scale`, `weight_shape` |
| the same with zero points | and `weight_zero_point` I32 `[words, groups]`, packed along rows |
| columns in order of activation | and `weight_g_idx`, the group of each column |
| int8 | `weight` I8, `weight_scale`, and perhaps `weight_zero_point` I8 |
| FP8 | `weight` F8_E4M3, `weight_scale` |
| FP8 in blocks, `quant_method = "fp8"` | `weight` F8_E4M3, `weight_scale_inv` |

Packed integers are stored plus half of their range. A weight is `(code - zero point) * scale`.
Scales of states are not used: states are computed in the number format of the model.
Sources: compressed-tensors 0.20 (`compressors`), transformers 5.23 (`finegrained_fp8`).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.packed import BITS, unpacked, words_for
from shards.checkpoint.quantised.spread import expect_scales, spread
from shards.checkpoint.quantised.stored import Stored
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

Block = tuple[int, int] | None

_FORMATS = (
    *("pack-quantized", "int-quantized", "float-quantized", "naive-quantized"),
    *("dense", "mixed-precision"),
)
_UNUSED = (
    *("input_scale", "input_zero_point", "output_scale", "output_zero_point"),
    *("k_scale", "v_scale", "q_scale", "activation_scale", "weight_shape"),
)
_FP8 = frozenset({"F8_E4M3", "F8_E5M2"})


def compressed_tensors(config: File, stored: Stored) -> Quantised:
    """Return the matrices of a compressed-tensors checkpoint.

    Args:
        config: `quantization_config` of its config.json.
    """
    formats = {config.choice("format", _FORMATS, "dense")}
    groups = config.object("config_groups")
    for name in groups.content:
        formats.add(groups.object(name).choice("format", _FORMATS, "dense"))
    config.object("sparsity_config").choice("format", ("dense",), "dense")
    if config.content.get("transform_config"):
        raise config.refuse("transform_config", "no transform of states")
    block = _block_of(config, groups)
    packed = stored.layers("weight_packed")
    matrices = {f"{layer}.weight": _packed(stored, layer) for layer in packed}
    for layer in stored.layers("weight_scale"):
        if layer not in packed:
            matrices[f"{layer}.weight"] = _plain(stored, layer, "weight_scale", block)
    named = ", ".join(sorted(formats - {"dense", "mixed-precision"})) or "dense"
    return Quantised(f"compressed-tensors, {named}", matrices, stored.all_of(_UNUSED))


def fp8(config: File, stored: Stored) -> Quantised:
    """Return the matrices of a checkpoint in FP8 with scales for blocks."""
    block = _block(config, "weight_block_size")
    matrices = {
        f"{layer}.weight": _plain(stored, layer, "weight_scale_inv", block)
        for layer in stored.layers("weight_scale_inv")
    }
    return Quantised("FP8", matrices, stored.all_of(_UNUSED))


def _block_of(config: File, groups: File) -> Block:
    """Return the one size of blocks that the groups of a config name; `None` without one."""
    found = {
        _block(groups.object(name).object("weights"), "block_structure") for name in groups.content
    } - {None}
    if len(found) > 1:
        raise config.refuse("config_groups", "one size of blocks")
    return found.pop() if found else None


def _block(config: File, key: str) -> Block:
    sizes: Any = config.content.get(key)
    if sizes is None:
        return None
    if not (
        isinstance(sizes, list)
        and len(sizes) == 2
        and all(type(size) is int and size > 0 for size in sizes)
    ):
        raise config.refuse(key, "two positive whole numbers")
    return sizes[0], sizes[1]


def _packed(stored: Stored, layer: str) -> Matrix:
    """Return a matrix of packed integers; its shape and tensors give the number of bits."""
    packed, scale, shape = (
        f"{layer}.{n}" for n in ("weight_packed", "weight_scale", "weight_shape")
    )
    stored.expect(shape, ("I64", "I32"), [(2,)])
    rows, columns = (int(size) for size in stored.read(shape))
    words = stored.matrix(packed)[1]
    bits = next((one for one in BITS if words_for(columns, one) == words), None)
    if bits is None or rows < 1 or columns < 1:
        raise stored.misfit(packed, f"{[rows, columns]} in {', '.join(map(str, BITS))} bits")
    stored.expect(packed, ("I32",), [(rows, words)])
    expect_scales(stored, scale, rows, columns)
    groups = stored.shape(scale)[-1]
    parts = {"words": packed, "scales": scale}
    if (zeros := f"{layer}.weight_zero_point") in stored:
        stored.expect(zeros, ("I32",), [(words_for(rows, bits), groups)])
        parts["zeros"] = zeros
    if (order := f"{layer}.weight_g_idx") in stored:
        stored.expect(order, ("I32", "I64"), [(columns,)])
        parts["order"] = order
    decode = partial(_unpacked_weights, layer, bits, rows, columns, tuple(parts))
    return Matrix(rows, columns, tuple(parts.values()), decode)


def _unpacked_weights(
    layer: str,
    bits: int,
    rows: int,
    columns: int,
    names: tuple[str, ...],
    *parts: "torch.Tensor",
) -> "torch.Tensor":
    given = dict(zip(names, parts, strict=True))
    middle = 1 << (bits - 1)
    scales = given["scales"].float()
    weights = (unpacked(given["words"], bits)[:, :columns] - middle).float()
    points = None
    if "zeros" in given:
        points = (unpacked(given["zeros"].T.contiguous(), bits)[:, :rows] - middle).T.float()
    if (order := given.get("order")) is not None and scales.dim() == 2:
        order = order.long()
        if int(order.min()) < 0 or int(order.max()) >= scales.shape[1]:
            raise Refusal(f"{layer}.weight_g_idx names a group that is not there")
        points = None if points is None else points[:, order]
        scales = scales[:, order]
    if points is not None:
        weights -= spread(points, rows, columns)
    weights *= spread(scales, rows, columns)
    return weights


def _plain(stored: Stored, layer: str, scale: str, block: Block) -> Matrix:
    """Return a matrix of int8 or FP8, with one code a byte."""
    weight, scales = f"{layer}.weight", f"{layer}.{scale}"
    rows, columns = stored.matrix(weight)
    if stored.dtype(weight) not in _FP8 | {"I8"}:
        raise stored.misfit(weight, "I8 or FP8")
    expect_scales(stored, scales, rows, columns, block)
    parts: tuple[str, ...] = (weight, scales)
    if (zeros := f"{layer}.weight_zero_point") in stored:
        stored.expect(zeros, ("I8",), [stored.shape(scales)])
        parts = (*parts, zeros)
    return Matrix(rows, columns, parts, partial(_plain_weights, rows, columns, block))


def _plain_weights(
    rows: int,
    columns: int,
    block: Block,
    codes: "torch.Tensor",
    scales: "torch.Tensor",
    zeros: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    weights = codes.float()
    if zeros is not None:
        weights -= spread(zeros, rows, columns, block)
    weights *= spread(scales, rows, columns, block)
    return weights
