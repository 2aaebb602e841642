"""A whole verification: its checks where a folder has a graph and no weights."""

import io
import os
from pathlib import Path

import pytest

from shards.tools.verify.run import Verification
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.graphs import NAMES, export


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
