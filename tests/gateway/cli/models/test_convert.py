"""`gateway convert`: conversions that pass the check, and errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import checkpoints

pytestmark = pytest.mark.timeout(400)  # conversions take some seconds of a core, which may be busy


def convert(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("bert"))


def test_a_model_is_converted_to_bf16_and_checked(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "m")
    done = convert(tmp_path / "m", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["format"], found["dtype"]) == ("openvino", "bf16")
    assert 0 < found["record"]["largest_difference"] < 0.25
    assert found["record"]["agreement"] is None
    folder = Path(found["folder"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.bin",
        "model.xml",
        "record.json",
    ]


def test_int8_takes_its_ranges_from_the_users_pairs(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "m")
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"query": "planets", "documents": ["Gravity keeps planets in orbit.", "Paris"]}\n\n'
        '{"query": "Paris", "document": "The capital of France is Paris."}\n'
    )
    done = convert(tmp_path / "m", "--dtype", "int8", "--calibration", path, "--anyway")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'm'}: int8 for OpenVINO 20")
    assert lines[2] == "int8 takes its ranges from 3 pairs (mine.jsonl)"
    assert lines[3].startswith("int8 against bf16: Spearman ")
    stored = json.loads((tmp_path / "m" / "openvino" / "int8" / "record.json").read_text())
    assert stored["calibration"] == "3 pairs (mine.jsonl)"
    served = 'Serve it: engine = "openvino", dtype = "int8"'
    needed = "" if stored["agreement"]["suffices"] else ", int8_anyway = true, for it does not rank"
    assert lines[4].startswith(served + needed)


def test_int8_that_does_not_agree_is_reported_with_a_remedy(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "m")
    path = tmp_path / "narrow.jsonl"  # ranges of this pair alone fit no other
    path.write_text('{"query": "Paris", "document": "Paris"}\n')
    done = convert(tmp_path / "m", "--dtype", "int8", "--calibration", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "int8 does not agree with bf16 (Spearman 0." in done.stderr
    assert "--anyway keeps it, to be served with `int8_anyway = true`" in done.stderr
    assert not (tmp_path / "m" / "openvino" / "int8" / "record.json").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "calibration.jsonl holds no pairs"),
        ('{"query": "a"}', 'calibration.jsonl, line 1: {"query": TEXT, "documents": [TEXT, ...]}'),
        ("no json", "calibration.jsonl, line 1: "),
        ('{"query": "a", "documents": [1]}', "calibration.jsonl, line 1: "),
    ],
)
def test_an_error_in_a_calibration_file_names_its_line(
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


def test_a_model_that_is_no_cross_encoder_is_refused(tmp_path: Path) -> None:
    checkpoints.qwen3(tmp_path / "m")
    done = convert(tmp_path / "m")
    assert done.returncode == 78
    assert "is for the engine 'causal'" in done.stderr
    done = convert(tmp_path / "nothing")
    assert done.returncode == 1
    assert "there is no folder" in done.stderr
