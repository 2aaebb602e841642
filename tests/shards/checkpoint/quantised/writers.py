"""Quantised copies of matrices, written as the programs that define each form write them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Parts = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Form:
    """A form of quantised weights.

    Attributes:
        config: the keys of config.json that name it.
        write: returns the parts of a matrix by their names after that of its layer, and the numbers
            that they stand for.
        summary: the words of the note for operators.
    """

    config: dict[str, Any]
    write: Callable[[torch.Tensor], tuple[Parts, torch.Tensor]]
    summary: str


def packed(codes: torch.Tensor, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Return words of 32 bits; `order` has the codes of a word, the lowest one first."""
    values = codes.numpy().astype(np.int64)
    each = 32 // bits
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % each)))
    words = np.zeros((len(padded), padded.shape[1] // each), dtype=np.int64)
    for place in range(each):
        words |= padded[:, order[place] if order else place :: each] << (place * bits)
    words = words.astype(np.uint32)
    return torch.from_numpy(words.view(np.int32))


def _in_groups(
    matrix: torch.Tensor, size: int, bits: int, groups: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return codes, zero points and scales of groups of columns, and the numbers."""
    rows, columns = matrix.shape
    of_column = torch.arange(columns) // size if groups is None else groups
    number = int(of_column.max()) + 1
    scales, points = torch.empty(rows, number), torch.empty(rows, number)
    for group in range(number):
        some = matrix[:, of_column == group]
        low, high = some.amin(1).clamp_max(0), some.amax(1).clamp_min(0)
        scales[:, group] = ((high - low) / (2**bits - 1)).half().float()
        points[:, group] = (-low / scales[:, group]).round().clamp(1, 2**bits - 1)
    scale, point = scales[:, of_column], points[:, of_column]
    codes = (matrix / scale + point).round().clamp(0, 2**bits - 1)
    return codes.long(), points.long(), scales, (codes - point) * scale


def gptq(bits: int = 4, size: int = 32, less: int = 1, with_order: bool = False) -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        columns = matrix.shape[1]
        shuffled = torch.randperm(columns, generator=torch.Generator().manual_seed(3)) // size
        codes, points, scales, numbers = _in_groups(
            matrix, size, bits, shuffled if with_order else None
        )
        parts = {
            "qweight": packed(codes, bits).T.contiguous(),
            "qzeros": packed(points.T - less, bits),
            "scales": scales.T.half().contiguous(),
        }
        if with_order:
            parts["g_idx"] = shuffled.int()
        return parts, numbers

    config = {"quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": with_order}
    named = {} if less else {"checkpoint_format": "gptq_v2"}
    summary = f"GPTQ, {bits} bits, groups of {size}"
    return Form({"quantization_config": config | named}, write, summary)


def awq(size: int = 32) -> Form:
    places = (0, 2, 4, 6, 1, 3, 5, 7)

    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        codes, points, scales, numbers = _in_groups(matrix, size, 4)
        return {
            "qweight": packed(codes.T, 4, places),
            "qzeros": packed(points.T, 4, places),
            "scales": scales.T.half().contiguous(),
        }, numbers

    config = {"quant_method": "awq", "bits": 4, "group_size": size, "version": "gemm"}
    return Form({"quantization_config": config | {"zero_point": True}}, write, "AWQ, 4 bits")


def mlx(bits: int = 4, size: int = 32) -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        codes, points, scales, _ = _in_groups(matrix, size, bits)
        biases = (-points * scales).half().float()
        spread = [part.repeat_interleave(size, dim=1) for part in (scales, biases)]
        parts = {
            "weight": packed(codes, bits).view(torch.uint32),
            "scales": scales.half(),
            "biases": biases.half(),
        }
        return parts, codes * spread[0] + spread[1]

    return Form({"quantization": {"bits": bits, "group_size": size}}, write, f"MLX, {bits} bits")


def _compressed(form: str, **weights: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "format": form}}
    config = {"quant_method": "compressed-tensors", "format": form, "config_groups": groups}
    return {"quantization_config": config | {"sparsity_config": {}, "transform_config": {}}}


def packed_integers(bits: int = 4, size: int = 32, with_points: bool = False) -> Form:
    middle = 2 ** (bits - 1)

    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        if with_points:
            codes, points, scales, numbers = _in_groups(matrix, size, bits)
            parts = {"weight_zero_point": packed(points.T, bits).T.contiguous()}
        else:
            grouped = matrix.reshape(len(matrix), -1, size)
            scales = (grouped.abs().amax(-1) / (middle - 1)).half().float()
            spread = scales.repeat_interleave(size, dim=1)
            codes = (matrix / spread).round().clamp(-middle, middle - 1).long() + middle
            numbers, parts = (codes - middle) * spread, {}
        return parts | {
            "weight_packed": packed(codes, bits),
            "weight_scale": scales.half(),
            "weight_shape": torch.tensor(matrix.shape),
        }, numbers

    config = _compressed("pack-quantized", num_bits=bits, symmetric=not with_points)
    return Form(config, write, "compressed-tensors, pack-quantized")


def int8() -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        scales = (matrix.abs().amax(1, keepdim=True) / 127).bfloat16()
        codes = (matrix / scales.float()).round().clamp(-128, 127).to(torch.int8)
        return {"weight": codes, "weight_scale": scales}, codes.float() * scales.float()

    config = _compressed("int-quantized", num_bits=8, symmetric=True)
    return Form(config, write, "compressed-tensors, int-quantized")


def float8() -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        scale = (matrix.abs().amax() / 448).reshape(1)
        codes = (matrix / scale).to(torch.float8_e4m3fn)
        parts = {"weight": codes, "weight_scale": scale, "input_scale": torch.ones(1)}
        return parts, codes.float() * scale

    config = _compressed("float-quantized", num_bits=8, type="float")
    return Form(config, write, "compressed-tensors, float-quantized")


def float8_in_blocks(block: tuple[int, int] = (48, 40)) -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        rows, columns = matrix.shape
        scales = torch.empty(-(-rows // block[0]), -(-columns // block[1]))
        codes, numbers = torch.empty_like(matrix, dtype=torch.float8_e4m3fn), matrix.clone()
        for row in range(scales.shape[0]):
            for column in range(scales.shape[1]):
                place = (
                    slice(row * block[0], (row + 1) * block[0]),
                    slice(column * block[1], (column + 1) * block[1]),
                )
                scales[row, column] = matrix[place].abs().amax() / 448
                codes[place] = (matrix[place] / scales[row, column]).to(torch.float8_e4m3fn)
                numbers[place] = codes[place].float() * scales[row, column]
        return {"weight": codes, "weight_scale_inv": scales}, numbers

    config = {"quant_method": "fp8", "weight_block_size": list(block)}
    return Form({"quantization_config": config}, write, "FP8")


def nf4(nested: bool = False, block: int = 64) -> Form:
    table = torch.linspace(-1, 1, 16) ** 3

    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        blocks = matrix.reshape(-1, block)
        largest = blocks.abs().amax(1)
        about: dict[str, Any] = {"quant_type": "nf4", "blocksize": block, "shape": [*matrix.shape]}
        parts: Parts = {"weight.quant_map": table}
        if nested:
            inner_table = torch.linspace(-1, 1, 256)
            offset = float(largest.mean())
            inner = torch.stack([part.abs().amax() for part in torch.split(largest - offset, 256)])
            spread = inner.repeat_interleave(256)[: len(largest)]
            found = ((largest - offset) / spread)[:, None] - inner_table
            absmax = found.abs().argmin(1).to(torch.uint8)
            largest = inner_table[absmax.long()] * spread + offset
            about |= {"nested_blocksize": 256, "nested_offset": offset}
            parts |= {"weight.nested_absmax": inner, "weight.nested_quant_map": inner_table}
            parts["weight.absmax"] = absmax
        else:
            parts["weight.absmax"] = largest
        codes = ((blocks / largest[:, None])[..., None] - table).abs().argmin(-1)
        numbers = (table[codes] * largest[:, None]).reshape(matrix.shape)
        pairs = codes.reshape(-1, 2)
        state = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
        return parts | {
            "weight": (pairs[:, :1] * 16 + pairs[:, 1:]).to(torch.uint8),
            "weight.quant_state.bitsandbytes__nf4": state,
        }, numbers

    config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    return Form({"quantization_config": config}, write, "bitsandbytes, NF4, 4 bits")


def eight_bits() -> Form:
    def write(matrix: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        largest = matrix.abs().amax(1)
        codes = (matrix * 127 / largest[:, None]).round().to(torch.int8)
        parts = {"weight": codes, "SCB": largest, "weight_format": torch.tensor(0).byte()}
        return parts, codes.float() * (largest / 127)[:, None]

    config = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    return Form({"quantization_config": config}, write, "bitsandbytes, 8 bits")


FORMS = {
    "GPTQ": gptq(),
    "GPTQ, 8 bits": gptq(bits=8, size=64),
    "GPTQ, 2 bits": gptq(bits=2, size=16),
    "GPTQ, second form": gptq(less=0),
    "GPTQ, columns in order of activation": gptq(with_order=True),
    "AWQ": awq(),
    "MLX": mlx(),
    "MLX, 8 bits": mlx(bits=8, size=64),
    "packed integers": packed_integers(),
    "packed integers with zero points": packed_integers(with_points=True),
    "packed integers of 8 bits": packed_integers(bits=8, size=64),
    "int8": int8(),
    "FP8": float8(),
    "FP8 in blocks": float8_in_blocks(),
    "NF4": nf4(),
    "NF4, nested": nf4(nested=True),
    "8 bits": eight_bits(),
}
