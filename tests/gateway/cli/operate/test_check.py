"""`gateway check`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from tests import checkpoints

GOOD = '[models.a]\nsource = "embedded:bert"\nthreads = 3\ndevices = ["cpu"]\n'
BAD = 'port = 70000\n[models.a]\nsource = "embedded:brt"\ndtipe = "fp32"\n'


def check(tmp_path: Path, text: str, *arguments: str) -> Result:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return CliRunner().invoke(cli, ["check", str(file), *arguments])


def test_a_good_file_shows_where_its_models_would_run(tmp_path: Path) -> None:
    result = check(tmp_path, GOOD)
    assert result.exit_code == 0
    assert "no errors" in result.stdout
    assert "a (default)" in result.stdout
    assert "a/cpu:0" in result.stdout


def test_a_bad_file_shows_every_error_with_its_remedy(tmp_path: Path) -> None:
    result = check(tmp_path, BAD)
    assert result.exit_code == 78
    assert result.stdout == ""
    assert "3 problems" in result.stderr
    for word in ("port", "70000", "models.a.dtipe", "Did you mean dtype?", "embedded:bert"):
        assert word in result.stderr


def test_errors_as_json(tmp_path: Path) -> None:
    result = check(tmp_path, BAD, "--json")
    assert result.exit_code == 78
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert {error["key"] for error in found["errors"]} == {
        "port",
        "models.a.dtipe",
        "models.a.source",
    }
    assert all(error["origin"].endswith("gateway.toml") for error in found["errors"])
    assert all(error["message"] and error["remedy"] for error in found["errors"])


def test_models_as_json(tmp_path: Path) -> None:
    found = json.loads(check(tmp_path, GOOD, "--json").stdout)
    assert found["ok"] is True
    (model,) = found["models"]
    assert (model["name"], model["default"]) == ("a", True)
    assert model["shards"][0]["threads"] == 3


def test_a_missing_folder_is_a_warning(tmp_path: Path) -> None:
    result = check(tmp_path, '[models.a]\nsource = "./gone"\n')
    assert result.exit_code == 0
    assert "warning: models.a.source" in result.stdout


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "gone.toml")])
    assert result.exit_code == 78
    assert "cannot be read" in result.stderr


def test_the_file_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway.toml").write_text(GOOD)
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.toml"))
    assert CliRunner().invoke(cli, ["check"]).exit_code == 0


def test_shadows_and_splits_are_shown(tmp_path: Path) -> None:
    moving = (
        'default_model = "search"\n[splits.search]\nmodels = { a = 90, b = 10 }\n'
        '[models.a]\nsource = "fake"\nengine = "fake"\nshadow = { model = "b", percent = 2.5 }\n'
        '[models.b]\nsource = "fake"\nengine = "fake"\n'
    )
    found = json.loads(check(tmp_path, moving, "--json").stdout)
    assert found["splits"] == [
        {"name": "search", "default": True, "weights": {"a": 90.0, "b": 10.0}}
    ]
    assert found["models"][0]["shadow"] == {"model": "b", "percent": 2.5}
    printed = check(tmp_path, moving).stdout
    assert "a, shadow b 2.5 %" in printed
    assert "split search: a 90, b 10" in printed


def test_a_checkpoint_that_a_shard_would_refuse_is_an_error(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "bert")
    text = f'[models.a]\nsource = "{folder}"\ndevices = ["cpu"]\n'
    assert check(tmp_path, text).exit_code == 0
    checkpoints.change_config(folder, num_hidden_layers=10**9)
    result = check(tmp_path, text)
    assert result.exit_code == 78
    assert "num_hidden_layers is 1000000000" in result.output
