"""A whole verification: of a graph without weights, and of quantised weights."""

import io
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shards.tools.verify.run import Verification
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.graphs import NAMES, export
from tests.shards.checkpoint.gguf.writers import written
from tests.shards.checkpoint.quantised.test_forms import quantised
from tests.shards.checkpoint.quantised.writers import FORMS


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)
def test_a_graph_is_verified_without_weights_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A verification changes the environment of its own process.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    export(checkpoints.bert(tmp_path), NAMES)
    (tmp_path / "model.safetensors").unlink()
    spec = ShardSpec(
        name="m/cpu", model="m", source=str(tmp_path), threads=1, canary="numeric", offline=True
    )
    report = Verification(spec, io.StringIO(), pairs=8).report()
    assert report["passed"]
    assert report["facts"]["engine"] == "onnx, fp32 on cpu"
    assert report["facts"]["head"] == "model.onnx; 1 label"
    found = {check["name"]: (check["passed"], check["said"]) for check in report["checks"]}
    assert found["batches"][0] is True
    assert found["agreement"] == (None, "the folder has a graph and no weights to compare with")


@pytest.mark.parametrize("form", ["GPTQ", "MLX"])
def test_quantised_weights_are_verified_without_the_program_that_wrote_them(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    quantised(checkpoints.qwen3(tmp_path, tied=False), FORMS[form])
    spec = ShardSpec(
        name="m/cpu", model="m", source=str(tmp_path), threads=1, canary="numeric", offline=True
    )
    report = Verification(spec, io.StringIO(), pairs=8).report()
    assert report["passed"]
    found = {check["name"]: (check["passed"], check["said"]) for check in report["checks"]}
    assert found["agreement"][0] is True
    assert report["facts"]["weights"].startswith(FORMS[form].summary)


def test_a_gguf_file_is_verified_by_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    written(checkpoints.qwen3(tmp_path / "source"), path := tmp_path / "model.gguf")
    spec = ShardSpec(
        name="m/cpu", model="m", source=str(path), threads=1, canary="numeric", offline=True
    )
    report = Verification(spec, io.StringIO(), pairs=8).report()
    assert report["passed"]
    found = {check["name"]: (check["passed"], check["said"]) for check in report["checks"]}
    assert found["agreement"][0] is True
    assert report["facts"]["weights"].startswith("GGUF, Q8_0")


@pytest.mark.parametrize(("changed", "passes"), [(0.0, True), (3.0, False)])
def test_the_cost_of_quantisation_is_measured_against_the_model_before(
    changed: float, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = checkpoints.qwen3(tmp_path / "before", tied=False)
    after = Path(shutil.copytree(before, tmp_path / "after"))
    quantised(after, FORMS["GPTQ, 8 bits"])
    name = "model.layers.0.self_attn.q_proj.weight"
    noise = torch.randn(load_file(before / "model.safetensors")[name].shape) * changed
    if changed:
        checkpoints.change_tensors(before, {name: noise})
    spec = ShardSpec(
        name="m/cpu", model="m", source=str(after), threads=1, canary="numeric", offline=True
    )
    report = Verification(spec, io.StringIO(), pairs=32, unquantised=str(before)).report()
    found = {check["name"]: check for check in report["checks"]}
    assert found["agreement"]["passed"] is True
    assert found["quantisation"]["passed"] is passes, found["quantisation"]
    assert report["passed"] is passes
    assert found["quantisation"]["figures"]["pairs"] == 32
