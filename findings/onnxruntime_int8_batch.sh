#!/usr/bin/env bash
# A row's output beside other rows, in a graph of onnxruntime's quantize_dynamic.
# Version: onnxruntime 1.31.1, onnx 1.23.2.
# Expected: the output of a row does not depend on the other rows of its batch.
# Seen: one scale is taken for the activations of the whole batch. Beside a row of the same size the
# output moves by about as much as quantisation itself costs, beside a row 20 times as large by ten
# times that.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'onnxruntime==1.31.1' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

random = np.random.default_rng(0)
weight = random.standard_normal((64, 64)).astype("float32")
row, other = random.standard_normal((2, 1, 64)).astype("float32")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "product",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 64])],
    [onnx.numpy_helper.from_array(weight, "w")],
)
opset = [helper.make_opsetid("", 17)]
onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), "plain.onnx")
quantize_dynamic("plain.onnx", "int8.onnx", weight_type=QuantType.QInt8)
session = onnxruntime.InferenceSession("int8.onnx", providers=["CPUExecutionProvider"])


def first(rows):
    return session.run(None, {"x": rows})[0][0]


alone = first(row)
error = np.abs(alone - (row @ weight)[0]).max()
near = np.abs(alone - first(np.vstack([row, other]))).max()
far = np.abs(alone - first(np.vstack([row, 20 * other]))).max()
print(f"error of int8 {error:.3f}, beside a like row {near:.3f}, beside a large one {far:.3f}")
assert near > 0.02 and far > 3 * error
EOF
