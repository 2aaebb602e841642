"""`--env-file` of `gateway serve`."""

from pathlib import Path

from tests.gateway.cli.conftest import Serving, gateway

FAKE = ("--port", "0", "--model", "m=fake", "--engine", "fake")


def test_variables_of_a_file_are_settings_and_the_environment_has_precedence(
    tmp_path: Path,
) -> None:
    config, file = tmp_path / "gateway.toml", tmp_path / "old.env"
    config.write_text('log_format = "json"\n')
    file.write_text(f"GATEWAY_CONFIG={config}\nGATEWAY_LOG_LEVEL=error\nPORT=80\n")
    more = {"GATEWAY_LOG_LEVEL": "debug"}
    with Serving("--env-file", str(file), *FAKE, log=tmp_path / "log", **more) as serving:
        serving.wait_for("ready at http")
        lines = serving.lines()
    (foreign,) = (str(line["event"]) for line in lines if "other servers" in str(line["event"]))
    assert "PORT (GATEWAY_PORT)" in foreign


def test_a_line_that_is_no_variable_is_refused_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "old.env"
    file.write_text("A=1\n\nnonsense\n")
    done = gateway("serve", "--env-file", str(file), *FAKE)
    assert done.returncode == 2
    assert "line 3: this is not NAME=VALUE" in " ".join(done.stderr.split())
