"""Completion in a shell, with the code that `gateway completion` prints."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import COMMANDS
from gateway.cli.completion import SHELLS
from tests.gateway.cli.conftest import CLEAN, gateway


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program `gateway`, and the completion code for bash."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "gateway"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
    program.chmod(0o755)
    (folder / "completion").write_text(gateway("completion", "bash").stdout)
    return folder


def completed(folder: Path, *words: str, **environ: str) -> list[str]:
    """Return the completions that bash offers for the last word."""
    script = (
        'source "$0/completion"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '$(complete -p gateway | sed -E "s/.*-F ([^ ]+) .*/\\1/") gateway "${@: -1}" ""; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "--norc", "-c", script, folder, "gateway", *words],
        env={**CLEAN, "PATH": path, "PYTHONPATH": str(Path.cwd()), **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout.split()


def test_commands_are_completed(folder: Path) -> None:
    assert set(completed(folder, "")) == set(COMMANDS)
    assert completed(folder, "re") == [name for name in COMMANDS if name.startswith("re")]


def test_options_and_their_values_are_completed(folder: Path) -> None:
    assert "--watch" in completed(folder, "status", "--")
    assert completed(folder, "completion", "f") == ["fish"]


def test_models_of_a_gateway_that_answers_are_completed(folder: Path, served: str) -> None:
    assert completed(folder, "drain", "", GATEWAY_URL=served) == ["demo"]
    assert completed(folder, "reload", "--url", served, "d") == ["demo"]
    assert completed(folder, "rerank", "--url", served, "--model", "x") == []


def test_without_a_gateway_no_model_is_completed(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert completed(folder, "drain", "", GATEWAY_URL=f"http://127.0.0.1:{port}") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_its_code(shell: str) -> None:
    printed = gateway("completion", shell)
    assert printed.returncode == 0
    assert f"_GATEWAY_COMPLETE={shell}_complete" in printed.stdout


def test_another_shell_is_refused() -> None:
    refused = gateway("completion", "tcsh")
    assert refused.returncode == 2
    assert "'bash', 'zsh', 'fish'" in refused.stderr
