"""Where models lie: weights or exported graphs."""

from pathlib import Path

from gateway.config import ModelSettings, Settings, model_specs
from gateway.doctor.finding import Finding
from gateway.doctor.serving import model_findings


def finding(folder: Path) -> Finding:
    settings = Settings(models={"m": ModelSettings(source=str(folder), devices=("cpu",))})
    (found, *_) = model_findings(settings, model_specs(settings), None)
    return found


def test_a_folder_needs_weights_or_a_graph(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    assert "has no *.safetensors and no *.onnx" in finding(tmp_path).found
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model_quantized.onnx").write_bytes(bytes(1_000_000))
    (tmp_path / "onnx" / "model.onnx_data").write_bytes(bytes(4_000_000))
    assert finding(tmp_path).found.startswith("4 MB in ")
    (tmp_path / "model.safetensors").write_bytes(bytes(5_000_000))
    assert finding(tmp_path).found.startswith("5 MB in ")
