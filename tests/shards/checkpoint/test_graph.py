"""The graph of a folder that is meant: the named graph, the plain one, or the only one."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from shards.checkpoint import is_graph_only, open_graph
from shards.refusal import Refusal
from tests.shards.checkpoint.specs import spec_of


def write(path: Path) -> None:
    weights = numpy_helper.from_array(np.arange(64, dtype="float32"), "w")
    graph = helper.make_graph([helper.make_node("Add", ["w", "w"], ["y"])], "g", [], [], [weights])
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(helper.make_model(graph).SerializeToString())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return tmp_path


@pytest.mark.parametrize(
    ("there", "named", "meant"),
    [
        (["onnx/model.onnx", "model.onnx", "onnx/model_O4.onnx"], "", "onnx/model.onnx"),
        (["model.onnx", "onnx/model_O4.onnx"], "", "model.onnx"),
        (["onnx/model_quantized.onnx"], "", "onnx/model_quantized.onnx"),
        (["onnx/model.onnx", "onnx/model_O4.onnx"], "model_O4.onnx", "onnx/model_O4.onnx"),
        (["onnx/model.onnx", "onnx/model_O4.onnx"], "onnx/model_O4.onnx", "onnx/model_O4.onnx"),
        (["model.onnx", "onnx/model.onnx"], "model.onnx", "model.onnx"),
    ],
)
def test_a_graph_is_found(there: list[str], named: str, meant: str, folder: Path) -> None:
    for name in there:
        write(folder / name)
    graph = open_graph(spec_of(folder, onnx_file=named))
    assert (graph.name, graph.path) == (meant, folder / meant)


@pytest.mark.parametrize(
    ("there", "named", "why"),
    [
        ([], "", r"holds no \*.onnx"),
        ([], "model.onnx", r"holds no \*.onnx"),
        (
            ["onnx/model.onnx", "model_O4.onnx"],
            "model_O2.onnx",
            "has no model_O2.onnx: set onnx_file to one of model_O4.onnx, onnx/model.onnx",
        ),
        (
            ["onnx/model_fp16.onnx", "onnx/model_int8.onnx"],
            "",
            "several graphs and none of them is onnx/model.onnx: set onnx_file to one of "
            "onnx/model_fp16.onnx, onnx/model_int8.onnx",
        ),
    ],
)
def test_what_is_not_clear_is_refused_with_what_there_is(
    there: list[str], named: str, why: str, folder: Path
) -> None:
    for name in there:
        write(folder / name)
    with pytest.raises(Refusal, match=why):
        open_graph(spec_of(folder, onnx_file=named))


def test_graphs_without_weights_beside_them_are_known(folder: Path) -> None:
    assert not is_graph_only(folder)
    write(folder / "onnx" / "model_int8.onnx")
    assert is_graph_only(folder)
    (folder / "model.safetensors").touch()
    assert not is_graph_only(folder)


def test_what_lacks_its_config_or_is_no_folder_is_refused(folder: Path) -> None:
    write(folder / "model.onnx")
    (folder / "config.json").unlink()
    with pytest.raises(Refusal, match=r"has no config.json"):
        open_graph(spec_of(folder))
    with pytest.raises(Refusal, match="is no folder; the engine onnx takes one"):
        open_graph(spec_of("acme/reranker"))


def test_the_fingerprint_is_also_that_of_weights_beside_the_graph(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    write(path)
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )
    before = open_graph(spec_of(folder)).checkpoint.fingerprint
    assert open_graph(spec_of(folder)).checkpoint.fingerprint == before
    with (path.parent / "model.onnx_data").open("r+b") as file:
        file.seek(8, os.SEEK_SET)
        file.write(b"\x01")
    assert open_graph(spec_of(folder)).checkpoint.fingerprint != before
    (path.parent / "model.onnx_data").unlink()
    with pytest.raises(Refusal, match=r"lacks the files with its weights, model.onnx_data"):
        open_graph(spec_of(folder))
