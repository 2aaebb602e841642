"""Files exist, are whole and safetensors, or are refused by name before anything is loaded."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch

from shards.checkpoint import open_checkpoint
from shards.checkpoint.weights import read_header
from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from tests import checkpoints
from tests.shards.checkpoint.specs import copy_of, refusal_of, spec_of


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert "it has no config.json" in str(refusal_of(tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refusal = refusal_of(tmp_path / "nothing")
    assert str(refusal) == f"there is no folder {tmp_path / 'nothing'}"
    assert refusal.exit_code is ExitCode.MODEL


def test_an_adapter_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter, merge it" in str(refusal_of(tmp_path))


def test_a_checkpoint_without_weights_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "model.safetensors").unlink()
    assert "holds no weights; model.safetensors" in str(refusal_of(folder))


def test_pickled_weights_are_refused_and_never_read(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refusal = str(refusal_of(folder))
    assert "pytorch_model.bin" in refusal
    assert "safetensors is required" in refusal


@pytest.mark.parametrize("kept", [0, 5, 200, 20_000])
def test_a_truncated_file_is_named(kept: int, bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    os.truncate(folder / "model.safetensors", kept)
    refusal = str(refusal_of(folder))
    assert str(folder / "model.safetensors") in refusal
    assert "truncated or corrupt" in refusal


@pytest.mark.parametrize(
    "content",
    [
        b"not a checkpoint at all, but long enough",
        struct.pack("<Q", 12) + b"[1, 2, 3, 4]",
        struct.pack("<Q", 10) + b'{"a": {}} ',
        struct.pack("<Q", 20) + b'{"a": {"data_offsets"',
        struct.pack("<Q", 1 << 62) + b"{}",
    ],
)
def test_a_corrupt_header_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(Refusal, match="truncated or corrupt"):
        read_header(path)


def test_a_missing_part_of_a_split_checkpoint_is_named(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-2.safetensors" in str(refusal_of(folder))


def test_an_index_that_points_out_of_the_folder_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path / "inside")
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names '../outside.safetensors'" in str(refusal_of(folder))


def test_a_split_checkpoint_loads(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_of(bert, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places: dict[str, str] = {}
    for number, names in enumerate((list(tensors)[:9], list(tensors)[9:])):
        file = f"model-{number}.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, {"format": "pt"})
        places |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places})
    )
    checkpoint = open_checkpoint(spec_of(folder), lambda line: None)
    assert set(checkpoint.tensors) == set(tensors)
    assert load_engine(spec_of(folder), lambda line: None).facts.warnings == ()


def test_a_config_that_is_no_json_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "config.json").write_text("{'architectures': 1")
    assert f"{folder / 'config.json'} cannot be read as JSON" in str(refusal_of(folder))


@pytest.mark.parametrize(
    ("stored", "shape", "dtype"),
    [
        ("qweight", (8, 64), torch.int32),  # GPTQ, also with a quantize_config.json of its own
        ("qweight", (64, 8), torch.int32),  # AWQ
        ("weight", (64, 8), torch.uint32),  # MLX, whose config.json has `quantization`
        ("weight_packed", (64, 8), torch.int32),  # compressed-tensors, and the next two
        ("weight", (64, 64), torch.int8),
        ("weight", (64, 64), torch.float8_e4m3fn),
    ],
)
def test_quantised_weights_are_refused_where_the_config_does_not_name_them(
    stored: str, shape: tuple[int, int], dtype: torch.dtype, qwen3: Path, tmp_path: Path
) -> None:
    folder = copy_of(qwen3, tmp_path)
    layer = "model.layers.0.self_attn.q_proj."
    added = {
        layer + stored: torch.zeros(shape, dtype=dtype),
        layer + "scales": torch.ones(64, 2),
    }
    checkpoints.change_tensors(folder, added, without=layer)
    refusal = str(refusal_of(folder))
    assert f"stores {layer}{stored} as" in refusal
    assert "give the fp32, bf16 or fp16 checkpoint" in refusal
