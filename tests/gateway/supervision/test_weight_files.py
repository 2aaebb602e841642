"""The numbers of checkpoints, by the heads of their files, in a folder or in the hub's cache."""

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, quantize

from gateway.config.specs import resolve
from gateway.supervision.weight_files import weights_of


def _write(folder: Path, name: str, **tensors: tuple[str, list[int]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries = {key: {"dtype": dtype, "shape": shape} for key, (dtype, shape) in tensors.items()}
    head = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    (folder / name).write_bytes(len(head).to_bytes(8, "little") + head)


def test_numbers_of_all_files_are_counted_by_their_size(tmp_path: Path) -> None:
    _write(tmp_path, "model-1.safetensors", a=("BF16", [10, 10]), b=("F32", [5]))
    _write(tmp_path, "model-2.safetensors", c=("I8", [7]), d=("F8_E4M3", [3]), e=("F16", []))
    weights = weights_of(str(tmp_path))
    assert weights is not None
    assert dict(weights.numbers) == {2: 101, 4: 5, 1: 10}
    assert weights.file_bytes == 202 + 20 + 10
    assert weights.bytes_at(4) == 4 * 106 + 10, "packed numbers stay as they are"


def test_codes_of_quantised_weights_count_as_the_numbers_that_they_stand_for(
    tmp_path: Path,
) -> None:
    _write(tmp_path, "model.safetensors", qweight=("I32", [8, 64]), scales=("F16", [1, 64]))
    _write(tmp_path, "other.safetensors", weight=("U8", [32, 1]), fp8=("F8_E4M3", [10]))
    weights = weights_of(str(tmp_path))
    assert weights is not None
    assert weights.decoded_bytes_at(4) == 4 * (8 * 512 + 64 + 2 * 32 + 10)
    assert weights.file_bytes == 4 * 512 + 2 * 64 + 32 + 10


def test_blocks_of_a_gguf_file_count_as_the_numbers_that_they_stand_for(tmp_path: Path) -> None:
    written = GGUFWriter(tmp_path / "model.gguf", "qwen3")
    written.add_tensor("norm", np.ones(64, np.float32))
    blocks = quantize(np.ones((8, 64), np.float32), GGMLQuantizationType.Q4_0)
    written.add_tensor("matrix", blocks, raw_dtype=GGMLQuantizationType.Q4_0)
    written.write_header_to_file()
    written.write_kv_data_to_file()
    written.write_tensors_to_file()
    written.close()
    for source in (tmp_path, tmp_path / "model.gguf"):
        weights = weights_of(str(source))
        assert weights is not None
        assert weights.decoded_bytes_at(2) == 2 * (64 + 8 * 64)
        assert weights.file_bytes == 4 * 64 + 8 * 2 * 18
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert weights_of(str(tmp_path)) is None


def test_of_exported_graphs_the_largest_counts(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"x" * 50)
    (tmp_path / "model_quantized.onnx").write_bytes(b"x" * 20)
    weights = weights_of(str(tmp_path))
    assert weights is not None
    assert weights.bytes_at(4) == weights.file_bytes == 50


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x01{"])
def test_a_broken_file_has_no_numbers(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert weights_of(str(tmp_path)) is None


def test_a_model_of_the_hub_is_found_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert weights_of("owner/name") is None
    _write(tmp_path / "hub/models--owner--name/snapshots/1", "model.safetensors", a=("F32", [9]))
    weights = weights_of("owner/name")
    assert weights is not None
    assert weights.file_bytes == 36


def test_the_embedded_model_is_read() -> None:
    weights = weights_of(resolve("embedded"))
    assert weights is not None
    assert 20e6 < weights.file_bytes < 30e6
