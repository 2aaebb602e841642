"""ONNX Runtime: exported graphs equal the checkpoint, and what is no reranker is refused."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from transformers import AutoModelForSequenceClassification

from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference

DOCUMENTS = [*checkpoints.SAMPLES, "", "Paris", "planets " * 90]
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def quiet(line: str) -> None:
    pass


def spec_of(folder: Path, **settings: Any) -> ShardSpec:
    settings = {"engine": "onnx"} | settings
    return ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)


class Logits(torch.nn.Module):
    """A transformers model as the graph sees it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager"
        ).eval()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(NAMES, inputs, strict=False))).logits
        return logits


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(
    request: pytest.FixtureRequest,
    models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A checkpoint in the hub's layout whose weights are in onnx/model.onnx alone."""
    copied: Path = tmp_path_factory.mktemp("exported") / str(request.param)
    shutil.copytree(models[request.param], copied)
    names = NAMES if request.param == "bert" else NAMES[:2]
    mask = torch.tensor([[1] * 12, [1] * 5 + [0] * 7])
    inputs = {"input_ids": torch.arange(5, 29).view(2, 12), "attention_mask": mask}
    inputs["token_type_ids"] = torch.tensor([[0] * 4 + [1] * 8] * 2)
    (copied / "onnx").mkdir()
    torch.onnx.export(
        Logits(copied),
        tuple(inputs[name] for name in names),
        copied / "onnx" / "model.onnx",
        input_names=list(names),
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
        dynamo=False,
    )
    return copied


pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)


def test_a_graph_equals_transformers(folder: Path) -> None:
    engine = load_engine(spec_of(folder, threads=1), quiet)
    assert (engine.facts.engine, engine.facts.dtype) == ("onnx", "fp32")
    pairs = engine.encoder.encode("planets", DOCUMENTS, instruction="", max_document_tokens=0)
    expected = reference.classifier_margins(
        folder, "planets", DOCUMENTS, limit=engine.facts.max_length
    )
    margins = engine.score(pairs[:3]) + engine.score(pairs[3:])
    assert margins == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.5
    engine.warm_up()


def test_a_folder_without_weights_is_served_by_auto(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    assert load_engine(spec_of(tmp_path / "m", engine="auto"), quiet).facts.engine == "onnx"


def graph(folder: Path, inputs: Sequence[str], dims: list[int | str]) -> None:
    """Write a graph that gives its first input as floats, in the shape that it comes in."""
    taken = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in inputs
    ]
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, dims)
    cast = helper.make_node("Cast", [inputs[0]], ["out"], to=TensorProto.FLOAT)
    made = helper.make_graph([cast], "g", taken, [given])
    opset = [helper.make_opsetid("", 17)]
    (folder / "onnx").mkdir(exist_ok=True)
    onnx.save(
        helper.make_model(made, opset_imports=opset, ir_version=8), folder / "onnx" / "model.onnx"
    )


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        (NAMES, r"gives \[1, 7\] where \[1, 1\]"),
        (NAMES[:2], "takes no token_type_ids, though its model knows token types"),
        (("pixels",), "takes pixels; a cross-encoder takes input_ids"),
        ((*NAMES, "pixels"), "takes attention_mask, input_ids, pixels, token_type_ids; a cross"),
    ],
)
def test_a_graph_that_is_no_reranker_is_refused(
    inputs: Sequence[str], why: str, models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(models["bert"], tmp_path / "m")
    graph(tmp_path / "m", inputs, ["batch", "sequence"])
    with pytest.raises(Refusal, match=why):
        load_engine(spec_of(tmp_path / "m"), quiet)


def test_a_broken_graph_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["bert"], tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(Refusal, match="ONNX Runtime cannot load"):
        load_engine(spec_of(tmp_path / "m"), quiet)


def test_what_the_engine_cannot_do_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(Refusal, match=r"no folder with onnx/model.onnx or model.onnx"):
        load_engine(spec_of(models["bert"]), quiet)
    with pytest.raises(Refusal, match="computes on CPUs"):
        load_engine(spec_of(models["bert"], device="cuda:0"), quiet)
    with pytest.raises(Refusal, match="as it was exported, not in int8"):
        load_engine(spec_of(models["bert"], dtype="int8"), quiet)
