"""`gateway convert` as a user runs it: a conversion that serves, and messages on what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import checkpoints


def convert(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=55,
        check=False,
    )


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("bert"))


def test_a_model_is_converted_and_checked(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "m")
    done = convert(tmp_path / "m", "--dtype", "fp32", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["format"], found["dtype"]) == ("openvino", "fp32")
    assert found["record"]["largest_difference"] < 1e-3
    folder = Path(found["folder"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.bin",
        "model.xml",
        "record.json",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "calibration.jsonl holds no pairs"),
        ('{"query": "a"}', 'calibration.jsonl, line 1: {"query": TEXT, "documents": [TEXT, ...]}'),
        ("no json", "calibration.jsonl, line 1: "),
        ('{"query": "a", "documents": [1]}', "calibration.jsonl, line 1: "),
    ],
)
def test_a_calibration_file_that_is_wrong_is_told_by_line(
    line: str, message: str, bert: Path, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.jsonl"
    path.write_text(line + "\n")
    done = convert(bert, "--dtype", "int8", "--calibration", path)
    assert done.returncode == 78
    assert message in done.stderr
    assert not (bert / "openvino").exists()


def test_options_of_int8_are_refused_for_others(bert: Path) -> None:
    done = convert(bert, "--anyway")
    assert done.returncode == 78
    assert "--calibration and --anyway are for --dtype int8" in done.stderr


def test_what_is_no_cross_encoder_is_refused(tmp_path: Path) -> None:
    checkpoints.qwen3(tmp_path / "m")
    done = convert(tmp_path / "m")
    assert done.returncode == 78
    assert "is for the engine 'causal'" in done.stderr
    done = convert(tmp_path / "nothing")
    assert done.returncode == 1
    assert "there is no folder" in done.stderr
