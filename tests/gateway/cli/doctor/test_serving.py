"""Findings about models: weights or exported graphs."""

import os
from pathlib import Path

from gateway.cli.doctor.finding import Finding
from gateway.cli.doctor.serving import model_findings
from gateway.config import ModelSettings, Settings, model_specs
from tests import checkpoints
from tests.shards.checkpoint.gguf.writers import written


def finding(folder: Path) -> Finding:
    settings = Settings(models={"m": ModelSettings(source=str(folder), devices=("cpu",))})
    (found, *_) = model_findings(settings, model_specs(settings), None)
    return found


def test_a_folder_needs_weights_or_a_graph(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    assert "has no *.safetensors and no *.onnx" in finding(tmp_path).found


def test_what_a_shard_would_refuse_is_bad(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path)
    assert finding(folder).found.startswith("0 MB in ")
    os.truncate(folder / "model.safetensors", 2000)
    found = finding(folder)
    assert found.state == "bad"
    assert "truncated or corrupt" in found.found


def test_a_graph_that_is_none_is_bad(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(bytes(1_000))
    found = finding(folder)
    assert found.state == "bad"


def test_a_gguf_file_is_read_as_a_shard_reads_it(tmp_path: Path) -> None:
    written(checkpoints.xlm_roberta(tmp_path / "source"), path := tmp_path / "model.gguf")
    assert finding(path).found == f"0 MB in {path}"
    os.truncate(path, path.stat().st_size - 1000)
    found = finding(path)
    assert found.state == "bad"
    assert "it was cut" in found.found
