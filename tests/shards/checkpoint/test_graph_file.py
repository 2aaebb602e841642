"""The content of an ONNX file is read without its weights, and other files are rejected."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from shards.checkpoint.graph_file import GraphFile, read_graph_file


def written(path: Path, operators: list[str], *weights: onnx.TensorProto) -> Path:
    """Write a graph of these operators and weights, which no runtime can run."""
    nodes = [helper.make_node(operator, ["x"], ["y"]) for operator in operators]
    graph = helper.make_graph(nodes, "g", [], [], initializer=list(weights))
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def weight(name: str, dtype: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


@pytest.mark.parametrize(
    ("operators", "weights", "dtype"),
    [
        (["MatMul"], [], "fp32"),
        (["MatMul"], [weight("a", "float32", 40, 40), weight("b", "int64", 9000)], "fp32"),
        (["MatMul"], [weight("a", "float32", 9), weight("b", "float16", 40, 40)], "fp16"),
        (["MatMul"], [weight("a", "float32", 40, 40), weight("b", "float16", 9)], "fp32"),
        (["DynamicQuantizeLinear", "MatMulInteger"], [weight("a", "int8", 40, 40)], "int8"),
        (["QLinearMatMul"], [weight("a", "uint8", 40, 40)], "int8"),
        (["DequantizeLinear", "MatMul"], [weight("a", "int8", 40, 40)], "int8"),
        (["com.microsoft.Attention", "MatMulNBits"], [weight("a", "uint8", 40, 40)], "int4"),
    ],
)
def test_the_number_format_is_that_of_its_products(
    operators: list[str], weights: list[onnx.TensorProto], dtype: str, tmp_path: Path
) -> None:
    found = read_graph_file(written(tmp_path / "m.onnx", operators, *weights))
    assert found.dtype == dtype
    assert found.operators == set(operators)
    assert found.looks_at_batches == ("DynamicQuantizeLinear" in operators)
    assert sum(found.elements.values()) == sum(int(np.prod(tensor.dims)) for tensor in weights)


def test_shapes_are_read_in_both_ways_of_writing_numbers(tmp_path: Path) -> None:
    """ONNX writes numbers one by one; readers must take a packed run of numbers too."""
    path = written(tmp_path / "m.onnx", ["MatMul"], weight("a", "float32", 300, 2))
    content = path.read_bytes()
    singly, packed = b"\x08\xac\x02\x08\x02", b"\x0a\x03\xac\x02\x02"
    assert content.count(singly) == 1
    path.write_bytes(content.replace(singly, packed))
    assert read_graph_file(path).elements[TensorProto.FLOAT] == 600


@pytest.mark.parametrize("beside", ["model.onnx_data", "model.onnx.data"])
def test_files_with_weights_beside_a_graph_are_named(beside: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", ["MatMul"], weight("a", "float32", 40, 40))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=beside, size_threshold=0)
    found = read_graph_file(path)
    assert found.beside == {beside}
    assert found.elements[TensorProto.FLOAT] == 1600
    assert path.stat().st_size < 1600


def test_a_file_that_is_no_graph_is_rejected(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", ["MatMul"], weight("a", "float32", 40, 40))
    content = path.read_bytes()
    broken = tmp_path / "broken.onnx"
    for wrong, why in (
        (b"", "empty"),
        (b"no graph", "unknown kind"),
        (content[: len(content) // 2], "cut off"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\x38\x01", "a message is expected"),
        (b"\x08\x01", "no graph"),
    ):
        broken.write_bytes(wrong)
        with pytest.raises(ValueError, match=why):
            read_graph_file(broken)


def test_no_cut_of_a_graph_ends_in_anything_else(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", ["MatMul", "Add"], weight("a", "float32", 3, 2))
    content = path.read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        try:
            assert isinstance(read_graph_file(cut), GraphFile)
        except ValueError:
            continue
