"""`gateway reload` and `gateway drain`: output and exit codes (see tests/system/test_reload.py)."""

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.operate.status_table import fitted
from tests.gateway.cli.conftest import Serving
from tests.gateway.cli.operate.test_status import model, other, status_of

__all__ = ["other"]

FAKE = ("--port", "0", "--engine", "fake", "--device", "cpu:0")
COMMANDS = pytest.mark.parametrize("command", [["reload"], ["reload", "m"], ["drain", "m"]])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@COMMANDS
def test_nothing_there(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run(*command, "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 2
    assert "nothing answers" in result.stderr


@COMMANDS
def test_something_else_is_no_gateway(other: str, command: list[str]) -> None:
    result = run(*command, "--url", other)
    assert result.exit_code == 2
    assert "no rerank gateway" in result.stderr


def test_drain_needs_a_model() -> None:
    assert run("drain").exit_code == 2


def test_without_waiting_the_number_of_the_attempt_is_printed(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "m=fake", log=tmp_path / "log") as serving:
        url = serving.url
        result = run("reload", "--no-wait", "--url", url)
        assert (result.exit_code, "reload 1 has begun" in result.stderr) == (0, True)
        result = run("reload", "--url", url)
        assert (result.exit_code, "is in effect" in result.stderr) == (0, True)
        result = run("drain", "m", "--no-wait", "--url", url)
        assert (result.exit_code, "m is draining" in result.stderr) == (0, True)
        result = run("drain", "m", "--url", url)
        assert (result.exit_code, "m is drained" in result.stderr) == (0, True)


def test_a_reload_has_the_options_of_the_start(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[models.first]\nsource = "fake"\nengine = "fake"\n')
    arguments = ("--config", str(file), "--model", "second=fake", "--default-model", "second")
    with Serving(*FAKE, *arguments, log=tmp_path / "log") as serving:
        url = serving.url
        file.write_text('port = 9\n[models.third]\nsource = "fake"\nengine = "fake"\n')
        result = run("reload", "--remove", "--url", url)
        assert (result.exit_code, result.stderr) == (
            0,
            "reload 1 is in effect: added third; removed first\n",
        )
        file.write_text("host = 9\nlimit = 3\n")
        result = run("reload", "--url", url)
        assert result.exit_code == 1
        for word in (
            f"{file}: host: found 9",
            f"{file}: limit: unknown key",
            "Did you mean limits",
        ):
            assert word in result.stderr
        serving.wait_for("reload 2 failed, the models stay as they were: .*limit: unknown key")
        assert serving.stop() == 0


def test_options_that_do_not_fit_the_file_any_more_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("")
    with Serving(*FAKE, "--config", str(file), log=tmp_path / "log") as serving:
        url = serving.url
        file.write_text('[models.first]\nsource = "fake"\nengine = "fake"\n')
        result = run("reload", "--url", url)
        assert result.exit_code == 1
        assert "describe the models named by --model" in result.stderr


def test_a_setting_that_needs_a_restart_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    models = '[models.m]\nsource = "fake"\nengine = "fake"\n'
    file.write_text("port = 0\n" + models)
    with Serving("--config", str(file), log=tmp_path / "log") as serving:
        url = serving.url
        file.write_text("port = 0\ndrain_seconds = 7\n" + models)
        result = run("reload", "--url", url)
        assert result.exit_code == 0
        assert "warning: drain_seconds takes effect when the gateway is started" in result.stderr


def test_a_hang_up_before_the_gateway_listens_does_not_end_it(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "m=fake", log=tmp_path / "log") as serving:
        serving.wait_for("rerank gateway starting")
        for _ in range(20):
            serving.process.send_signal(signal.SIGHUP)
        assert serving.url
        for _ in range(20):
            serving.process.send_signal(signal.SIGHUP)
        assert serving.stop() == 0


def test_the_table_shows_revisions_of_a_reload_and_its_errors() -> None:
    found: dict[str, Any] = status_of("ready")
    coming = model("loading", stage="weights")
    coming["shards"][0]["state"] = "loading"
    found["reload"] = {
        "coming": [coming],
        "leaving": [model("draining")],
        "last": {"errors": ["model 'bert': no config.json"]},
    }
    text = "\n".join(line.plain for line in fitted(found, 200))
    for line in ("bert (coming)", "bert (leaving)", "loading (weights)"):
        assert line in text
    assert "the last reload failed: model 'bert': no config.json" in text


def test_the_log_tells_the_revisions_of_a_reload_apart(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "m=fake", log=tmp_path / "log") as serving:
        assert run("reload", "m", "--url", serving.url).exit_code == 0
        serving.wait_for('"shard is stopped"')
        lines = [line for line in serving.lines() if line.get("shard") == "m/cpu:0"]
    states = [(line["event"], line["revision"]) for line in lines]
    assert {line["model"] for line in lines} == {"m"}
    assert states.index(("shard is ready", 2)) < states.index(("shard is draining", 1))
    assert ("shard is stopped", 1) in states
