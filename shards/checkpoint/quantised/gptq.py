"""GPTQ and AWQ: matrices of `[inputs, outputs]` in words, with a zero point for each group.

| part | GPTQ | AWQ |
|---|---|---|
| `qweight`, I32 | `[inputs * bits / 32, outputs]`, packed along inputs | `[inputs, outputs / 8]` |
| `qzeros`, I32 | `[groups, outputs * bits / 32]` | `[groups, outputs / 8]` |
| `scales`, floats | `[groups, outputs]` | the same |
| `g_idx`, I32 | `[inputs]`, the group of each input | |

A weight is `(code - zero point) * scale`. GPTQ's first form stores each zero point less one. AWQ's
words hold outputs in the order 0, 2, 4, 6, 1, 3, 5, 7.
Sources: AutoGPTQ 0.7 and GPTQModel 7.7 (`qlinear`), AutoAWQ 0.2.9 (`packing_utils`);
AutoRound 0.16.
"""

from functools import partial
from typing import TYPE_CHECKING

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.matrices import Matrix, Quantised
from shards.checkpoint.quantised.packed import BITS, WORD, unpacked
from shards.checkpoint.quantised.spread import FLOATS
from shards.checkpoint.quantised.stored import Stored
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

_ZEROS_LESS = {"gptq": 1, "gptq_v2": 0}
_AWQ_BITS = 4
_AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)  # the place in a word of each of eight outputs in a row


def gptq(config: File, stored: Stored) -> Quantised:
    """Return the matrices of a GPTQ checkpoint.

    Args:
        config: `quantization_config` of its config.json.
    """
    bits = _bits(config, BITS)
    size = _group_size(config)
    less = _ZEROS_LESS[config.choice("checkpoint_format", _ZEROS_LESS, "gptq")]
    if config.content.get("dynamic"):
        raise config.refuse("dynamic", "one form for all layers")
    matrices = {}
    for layer in stored.layers("qweight"):
        words, outputs = stored.matrix(f"{layer}.qweight")
        inputs = words * WORD // bits
        groups = _groups(stored, layer, inputs, size)
        _expect(stored, layer, (words, outputs), groups, outputs, bits)
        has_order = f"{layer}.g_idx" in stored
        if has_order:
            stored.expect(f"{layer}.g_idx", ("I32", "I64"), [(inputs,)])
        names = ("qweight", "qzeros", "scales", *(("g_idx",) if has_order else ()))
        matrices[f"{layer}.weight"] = Matrix(
            outputs,
            inputs,
            tuple(f"{layer}.{name}" for name in names),
            partial(_gptq_weights, layer, bits, less),
        )
    return Quantised(_summary("GPTQ", bits, size), matrices)


def awq(config: File, stored: Stored) -> Quantised:
    """Return the matrices of an AWQ checkpoint; see `gptq`."""
    config.choice("version", ("gemm", "GEMM"), "gemm")
    bits, size = _bits(config, (_AWQ_BITS,)), _group_size(config)
    matrices = {}
    for layer in stored.layers("qweight"):
        inputs, words = stored.matrix(f"{layer}.qweight")
        outputs = words * WORD // bits
        groups = _groups(stored, layer, inputs, size)
        _expect(stored, layer, (inputs, words), groups, outputs, bits)
        parts = tuple(f"{layer}.{name}" for name in ("qweight", "qzeros", "scales"))
        matrices[f"{layer}.weight"] = Matrix(outputs, inputs, parts, _awq_weights)
    return Quantised(_summary("AWQ", bits, size), matrices)


def auto_round(config: File, stored: Stored) -> Quantised:
    """Return the matrices of an AutoRound checkpoint, which are packed as those of GPTQ or AWQ."""
    return _PACKINGS[config.choice("packing_format", _PACKINGS, "")](config, stored)


_PACKINGS = {"auto_round:auto_gptq": gptq, "auto_round:auto_awq": awq}


def _bits(config: File, known: tuple[int, ...]) -> int:
    bits = config.count("bits")
    if bits not in known:
        raise config.refuse("bits", " or ".join(map(str, known)))
    return bits


def _group_size(config: File) -> int:
    """Return the number of inputs in a group; 0 for one group of all."""
    if config.content.get("group_size") == -1:
        return 0
    return config.count("group_size") or 0


def _groups(stored: Stored, layer: str, inputs: int, size: int) -> int:
    """Return the number of groups, which the group size must give as well."""
    groups, _ = stored.matrix(f"{layer}.scales")
    if groups != (-(-inputs // size) if size else 1):
        raise stored.misfit(f"{layer}.scales", f"groups of {size or inputs} of {inputs} inputs")
    return groups


def _expect(
    stored: Stored, layer: str, words: tuple[int, int], groups: int, outputs: int, bits: int
) -> None:
    stored.expect(f"{layer}.qweight", ("I32",), [words])
    stored.expect(f"{layer}.qzeros", ("I32",), [(groups, outputs * bits // WORD)])
    stored.expect(f"{layer}.scales", FLOATS, [(groups, outputs)])


def _gptq_weights(
    layer: str,
    bits: int,
    less: int,
    words: "torch.Tensor",
    zeros: "torch.Tensor",
    scales: "torch.Tensor",
    order: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    codes = unpacked(words.T.contiguous(), bits)  # [outputs, inputs]
    points = unpacked(zeros, bits)
    if less and bool((points == 2**bits - 1).any()):
        raise Refusal(
            f"{layer}.qzeros has zero points of 0, which programs that wrote this first form of "
            "GPTQ stored as different numbers: convert the checkpoint to `gptq_v2`, or give the "
            "fp32, bf16 or fp16 checkpoint"
        )
    return _scaled(codes, (points + less).T, scales.T, order, layer)


def _awq_weights(
    words: "torch.Tensor", zeros: "torch.Tensor", scales: "torch.Tensor"
) -> "torch.Tensor":
    codes, points = (_in_order(unpacked(part, _AWQ_BITS)) for part in (words, zeros))
    return _scaled(codes.T, points.T, scales.T, None, "")


def _in_order(codes: "torch.Tensor") -> "torch.Tensor":
    rows, outputs = codes.shape
    eights = codes.view(rows, outputs // len(_AWQ_PLACES), len(_AWQ_PLACES))
    return eights[:, :, list(_AWQ_PLACES)].reshape(rows, outputs)


def _scaled(
    codes: "torch.Tensor",
    points: "torch.Tensor",
    scales: "torch.Tensor",
    order: "torch.Tensor | None",
    layer: str,
) -> "torch.Tensor":
    """Return weights, `[outputs, inputs]`, from codes and the points and scales of their groups."""
    import torch

    inputs, groups = codes.shape[1], points.shape[1]
    if order is None:
        order = torch.arange(inputs) // -(-inputs // groups)
    elif int(order.min()) < 0 or int(order.max()) >= groups:
        raise Refusal(f"{layer}.g_idx names a group that is not there; there are {groups}")
    order = order.long()
    weights = codes.float()
    weights -= points.float()[:, order]
    weights *= scales.float()[:, order]
    return weights


def _summary(name: str, bits: int, size: int) -> str:
    groups = f"groups of {size}" if size else "one group for each output"
    return f"{name}, {bits} bits, {groups}"
