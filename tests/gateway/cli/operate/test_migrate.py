"""`gateway migrate`: output and exit codes."""

import tomllib
from pathlib import Path

from tests.gateway.cli.conftest import gateway


def test_the_configuration_is_on_stdout_and_the_rest_on_stderr() -> None:
    done = gateway("migrate", "--", "vllm", "serve", "org/m", "--max-num-seqs", "8", "--odd", "1")
    assert done.returncode == 1
    assert tomllib.loads(done.stdout)["models"] == {"org/m": {"source": "org/m"}}
    assert "note: --max-num-seqs: " in done.stderr
    assert "warning: --odd 1 is unknown and not translated" in done.stderr


def test_variables_of_a_file_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "old.env"
    file.write_text('MODEL_ID="org/m"\nexport PORT=81  # the old port\n')
    done = gateway("migrate", "--env-file", str(file))
    assert (done.returncode, tomllib.loads(done.stdout)["port"]) == (0, 81)


def test_a_server_must_be_named_or_recognised() -> None:
    done = gateway("migrate", "--", "python", "main.py")
    assert (done.returncode, "--from" in done.stderr) == (2, True)
