"""ONNX Runtime: exported graphs equal the checkpoint, and other graphs are refused."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import quantize_dynamic

from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.graphs import NAMES, export
from tests.shards.engines import reference

DOCUMENTS = [*checkpoints.SAMPLES, "", "Paris", "planets " * 90]
INT8_TOLERANCE = 0.8  # margins of these models spread over about 4


def quiet(line: str) -> None:
    pass


def spec_of(folder: Path, **settings: Any) -> ShardSpec:
    settings = {"engine": "onnx"} | settings
    return ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(
    request: pytest.FixtureRequest,
    models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a checkpoint in the hub's layout with its weights in onnx/model.onnx alone."""
    copied: Path = tmp_path_factory.mktemp("exported") / str(request.param)
    shutil.copytree(models[request.param], copied)
    export(copied, NAMES if request.param == "bert" else NAMES[:2])
    return copied


pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)


def test_a_graph_equals_transformers(folder: Path) -> None:
    engine = load_engine(spec_of(folder, threads=1), quiet)
    assert (engine.facts.engine, engine.facts.dtype) == ("onnx", "fp32")
    assert engine.facts.notes[-1] == "graph onnx/model.onnx, in fp32"
    pairs = engine.tokenizer.tokenize("planets", DOCUMENTS, instruction="", max_document_tokens=0)
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


@pytest.fixture(scope="module")
def quantised(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same folder with a second graph in int8, made like most on the hub."""
    copied = tmp_path_factory.mktemp("quantised") / "m"
    shutil.copytree(folder, copied)
    graphs = copied / "onnx"
    logging.disable()  # the root logger advises to prepare the graph
    try:
        quantize_dynamic(graphs / "model.onnx", graphs / "model_quantized.onnx")
    finally:
        logging.disable(logging.NOTSET)
    return copied


def test_a_graph_is_chosen_by_its_name_and_notes_its_number_format(quantised: Path) -> None:
    engine = load_engine(spec_of(quantised, onnx_file="model_quantized.onnx"), quiet)
    assert (engine.facts.engine, engine.facts.dtype) == ("onnx", "int8")
    *_, graph_note, batch_note = engine.facts.notes
    assert graph_note.startswith("graph onnx/model_quantized.onnx, in int8 as it was")
    assert "the other pairs there change a margin a little" in batch_note
    pairs = engine.tokenizer.tokenize("planets", DOCUMENTS, instruction="", max_document_tokens=0)
    expected = reference.classifier_margins(
        quantised, "planets", DOCUMENTS, limit=engine.facts.max_length
    )
    margins = engine.score(pairs)
    assert margins == pytest.approx(expected, abs=INT8_TOLERANCE)
    assert margins != pytest.approx(expected, abs=1e-4)


def test_a_number_format_that_the_graph_does_not_have_is_refused(quantised: Path) -> None:
    named = spec_of(quantised, onnx_file="model_quantized.onnx", dtype="int8")
    assert load_engine(named, quiet).facts.dtype == "int8"
    with pytest.raises(
        Refusal, match=r"model.onnx computes in fp32, as it was exported, not in int8"
    ):
        load_engine(spec_of(quantised, dtype="int8"), quiet)


def test_auto_takes_a_graph_that_is_named_and_else_the_weights(quantised: Path) -> None:
    spec = spec_of(quantised, engine="auto", onnx_file="onnx/model_quantized.onnx")
    assert load_engine(spec, quiet).facts.engine == "onnx"
    assert load_engine(spec_of(quantised, engine="auto", dtype="fp32"), quiet).facts.engine == (
        "classifier"
    )


@pytest.mark.parametrize(("name", "first"), [("bert", 0), ("xlm-roberta", 2)])
def test_a_graph_may_take_positions(
    name: str, first: int, models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(models[name], tmp_path / "m")
    names = (*(NAMES if name == "bert" else NAMES[:2]), "position_ids")
    export(tmp_path / "m", names, first)
    engine = load_engine(spec_of(tmp_path / "m"), quiet)
    pairs = engine.tokenizer.tokenize("planets", DOCUMENTS, instruction="", max_document_tokens=0)
    expected = reference.classifier_margins(
        tmp_path / "m", "planets", DOCUMENTS, limit=engine.facts.max_length
    )
    assert engine.score(pairs) == pytest.approx(expected, abs=1e-4)


def test_a_graph_needs_no_token_types_where_the_tokenizer_gives_none(tmp_path: Path) -> None:
    checkpoints.encoder(tmp_path / "m", "bert", types=False)
    export(tmp_path / "m", NAMES[:2])
    engine = load_engine(spec_of(tmp_path / "m"), quiet)
    pairs = engine.tokenizer.tokenize("planets", DOCUMENTS, instruction="", max_document_tokens=0)
    expected = reference.classifier_margins(tmp_path / "m", "planets", DOCUMENTS, limit=512)
    assert engine.score(pairs) == pytest.approx(expected, abs=1e-4)


def graph(folder: Path, inputs: Sequence[str], dims: list[int | str]) -> None:
    """Write a graph that returns its first input as floats, in the same shape."""
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
        (NAMES[:2], "takes no token_type_ids, though its model has token types"),
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
    with pytest.raises(Refusal, match=r"is no ONNX graph .* download it again"):
        load_engine(spec_of(tmp_path / "m"), quiet)
    unknown = helper.make_graph([helper.make_node("Nothing", ["x"], ["y"])], "g", [], [])
    onnx.save(helper.make_model(unknown), tmp_path / "m" / "model.onnx")
    with pytest.raises(Refusal, match="ONNX Runtime cannot load"):
        load_engine(spec_of(tmp_path / "m"), quiet)


def test_other_devices_and_folders_without_graphs_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(Refusal, match=r"holds no \*\.onnx"):
        load_engine(spec_of(models["bert"]), quiet)
    with pytest.raises(Refusal, match="computes on CPUs"):
        load_engine(spec_of(models["bert"], device="cuda:0"), quiet)
