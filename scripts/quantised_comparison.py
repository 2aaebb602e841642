"""Quantised weights against the programs that wrote them: `scripts/compare-quantised`.

Each program quantises the same small random Qwen3, and names the numbers of its codes; the shards
read the codes. The largest difference is printed in parts of the largest weight. Exit code 1:
one is above 1e-6 (fp32 rounds differently in another order of steps).
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from shards.checkpoint import open_checkpoint
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.checkpoint.gguf import writers

MOST = 1e-6
_LAYERS = "model.layers."

Tensors = dict[str, torch.Tensor]


def written(source: Path, folder: Path, config: dict[str, Any], parts: Tensors) -> Path:
    """Write a copy of a checkpoint with other tensors in its layers."""
    folder.mkdir()
    for path in source.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    checkpoints.change_config(folder, **config)
    stored = load_file(source / "model.safetensors")
    kept = {name: one for name, one in stored.items() if not _is_matrix(name, one)}
    save_file(kept | parts, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return name.startswith(_LAYERS) and tensor.dim() == 2


def matrices(source: Path) -> Tensors:
    stored = load_file(source / "model.safetensors")
    return {name: tensor for name, tensor in stored.items() if _is_matrix(name, tensor)}


def of_auto_round(source: Path, place: Path) -> Iterator[tuple[str, Path, Tensors]]:
    """Yield checkpoints of AutoRound, whose form `fake` has the numbers as floats."""
    from auto_round import AutoRound  # type: ignore[import-not-found]  # not in .venv
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for symmetric in (True, False):
        folders = {}
        for form in ("fake", "auto_gptq", "auto_awq", "auto_round"):
            model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(source)
            rounding = AutoRound(
                model, tokenizer, bits=4, group_size=32, sym=symmetric, iters=0,
                disable_opt_rtn=True,
            )  # fmt: skip
            folder = place / f"{form}-{symmetric}"
            rounding.quantize_and_save(str(folder), format=form)
            folders[form] = next(folder.rglob("model.safetensors")).parent
        numbers = load_file(folders.pop("fake") / "model.safetensors")
        for form, folder in folders.items():
            yield f"AutoRound {form}, {'' if symmetric else 'a'}symmetric", folder, numbers


def of_compressed_tensors(source: Path, place: Path) -> Iterator[tuple[str, Path, Tensors]]:
    """Yield checkpoints of compressed-tensors, with what its compressors give back."""
    from compressed_tensors.compressors.base import (  # type: ignore[import-not-found]
        BaseCompressor,
    )
    from compressed_tensors.quantization import (  # type: ignore[import-not-found]
        QuantizationArgs,
        QuantizationScheme,
    )
    from compressed_tensors.quantization.utils import (  # type: ignore[import-not-found]
        calculate_qparams,
    )

    group = {"strategy": "group", "group_size": 32}
    cases: dict[str, dict[str, Any]] = {
        "pack-quantized": {"num_bits": 4, "symmetric": True, **group},
        "pack-quantized ": {"num_bits": 4, "symmetric": False, **group},
        "pack-quantized  ": {"num_bits": 8, "symmetric": True, "strategy": "channel"},
        "int-quantized": {"num_bits": 8, "symmetric": True, "strategy": "channel"},
        "float-quantized": {"num_bits": 8, "type": "float", "strategy": "channel"},
        "float-quantized ": {"num_bits": 8, "type": "float", "strategy": "tensor"},
    }
    for at, (form, settings) in enumerate(cases.items()):
        args = QuantizationArgs(**settings)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        compressor = BaseCompressor.get_value_from_registry(form.strip())
        parts: Tensors = {}
        numbers: Tensors = {}
        for name, matrix in matrices(source).items():
            low, high = _ends(matrix, settings)
            scale, zero = calculate_qparams(low, high, args)
            given = {"weight": matrix, "weight_scale": scale, "weight_zero_point": zero}
            packed = compressor.compress(given, scheme)
            numbers[name] = compressor.decompress(packed, scheme)["weight"]
            layer = name.removesuffix(".weight")
            parts |= {f"{layer}.{part}": one.contiguous() for part, one in packed.items()}
        groups = {"group_0": {"targets": ["Linear"], "weights": args.model_dump(mode="json")}}
        config = {
            "quant_method": "compressed-tensors",
            "format": form.strip(),
            "config_groups": groups,
        }
        folder = written(source, place / f"ct-{at}", {"quantization_config": config}, parts)
        yield f"compressed-tensors {form.strip()}, {_words(settings)}", folder, numbers


def _ends(matrix: torch.Tensor, settings: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least and the largest weight of each group, row, or of the matrix."""
    size = settings.get("group_size", matrix.shape[1])
    grouped = matrix.reshape(len(matrix), -1, size)
    low, high = grouped.amin(-1), grouped.amax(-1)
    if settings["strategy"] == "tensor":
        return low.amin().reshape(1), high.amax().reshape(1)
    return low, high


def _words(settings: dict[str, Any]) -> str:
    return " ".join(str(value) for value in settings.values())


def of_bitsandbytes(source: Path, place: Path) -> Iterator[tuple[str, Path, Tensors]]:
    """Yield checkpoints of bitsandbytes, with what its functions give back."""
    import bitsandbytes.functional as bnb  # type: ignore[import-not-found]

    for kind, nested in (("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True)):
        parts: Tensors = {}
        numbers: Tensors = {}
        for name, matrix in matrices(source).items():
            codes, state = bnb.quantize_4bit(
                matrix, blocksize=64, quant_type=kind, compress_statistics=nested
            )
            numbers[name] = bnb.dequantize_4bit(codes, state)
            parts[name] = codes
            parts |= {f"{name}.{part}": one for part, one in state.as_dict(packed=True).items()}
        config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
        folder = place / f"bnb-{kind}-{nested}"
        written(source, folder, {"quantization_config": config}, parts)
        yield f"bitsandbytes {kind}{', nested' if nested else ''}", folder, numbers
    parts, numbers = {}, {}
    for name, matrix in matrices(source).items():
        codes, largest, _ = bnb.int8_vectorwise_quant(matrix.half())
        numbers[name] = bnb.int8_vectorwise_dequant(codes, largest)
        layer = name.removesuffix(".weight")
        parts |= {name: codes, f"{layer}.SCB": largest}
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    folder = written(source, place / "bnb-8", {"quantization_config": config}, parts)
    yield "bitsandbytes 8 bits", folder, numbers


def of_mlx(source: Path, place: Path) -> Iterator[tuple[str, Path, Tensors]]:
    """Yield checkpoints as mlx-lm writes them, with what MLX gives back."""
    import mlx.core as mx

    for bits, size in ((4, 32), (8, 64), (2, 64)):
        parts: Tensors = {}
        numbers: Tensors = {}
        for name, matrix in matrices(source).items():
            found = mx.quantize(mx.array(matrix.numpy()), group_size=size, bits=bits)
            whole = mx.dequantize(*found, group_size=size, bits=bits)
            numbers[name] = torch.tensor(whole.tolist())
            layer = name.removesuffix(".weight")
            for part, one in zip(("weight", "scales", "biases"), found, strict=True):
                kind = torch.int64 if part == "weight" else torch.float32
                tensor = torch.tensor(one.tolist(), dtype=kind)
                parts[f"{layer}.{part}"] = tensor.to(torch.uint32) if part == "weight" else tensor
        config = {"quantization": {"group_size": size, "bits": bits, "mode": "affine"}}
        folder = written(source, place / f"mlx-{bits}", config, parts)
        yield f"MLX {bits} bits in groups of {size}", folder, numbers


def of_gguf(source: Path, place: Path) -> Iterator[tuple[str, Path, Tensors]]:
    """Yield GGUF files of the `gguf` package, with what it gives back."""
    for kind in writers.KINDS:
        path = place / f"Qwen3-Reranker-{kind}.gguf"
        numbers = writers.written(source, path, kind)
        if kind.startswith("Q"):
            yield f"GGUF {kind}", path, {n: torch.from_numpy(one) for n, one in numbers.items()}


PROGRAMS: tuple[Callable[[Path, Path], Iterator[tuple[str, Path, Tensors]]], ...] = (
    *(of_gguf, of_auto_round, of_compressed_tensors, of_bitsandbytes, of_mlx),
)


def difference(folder: Path, numbers: Tensors) -> float:
    """Return the largest difference from some numbers, in parts of the largest weight."""
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), offline=True)
    checkpoint = open_checkpoint(spec, lambda line: None)
    if not checkpoint.quantised.matrices:
        raise SystemExit(f"{folder} has no quantised matrix")
    read = checkpoint.reader()
    return max(
        float((read(name) - numbers[name].float()).abs().max() / numbers[name].abs().max())
        for name in checkpoint.quantised.matrices
    )


def main() -> int:
    found = {}
    with tempfile.TemporaryDirectory() as place:
        source = checkpoints.qwen3(Path(place) / "source", tied=False)
        for program in PROGRAMS:
            for name, folder, numbers in program(source, Path(place)):
                found[name] = difference(folder, numbers)
                sys.stderr.write(f"{name:<60} {found[name]:.1e}\n")
    sys.stdout.write(json.dumps(found) + "\n")
    return int(max(found.values()) > MOST)


if __name__ == "__main__":
    sys.exit(main())
