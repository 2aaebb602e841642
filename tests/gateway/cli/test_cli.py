"""The command as a whole: help, version, and a start without slow imports."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import COMMANDS, cli


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    command = [sys.executable, "-m", "gateway", name, "-h"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Exit codes:" in printed


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"gateway, version {__version__}\n"


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(cli, ["sreve"])
    assert result.exit_code == 2
    assert "sreve" in result.output


def imported_by(code: str) -> set[str]:
    """Return the modules that some code imports."""
    code += "\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_no_slow_library() -> None:
    found = imported_by(
        "import sys, runpy; sys.argv = ['gateway', '--help']\n"
        "try: runpy.run_module('gateway', run_name='__main__')\n"
        "except SystemExit: pass"
    )
    assert "gateway.cli.score.rerank" in found
    assert not found & {"torch", "transformers", "pydantic", "aiohttp", "uvicorn", "rich", "orjson"}


def test_the_main_module_imports_no_module_of_the_gateway() -> None:
    """Every spawned shard imports it again."""
    found = imported_by("import runpy; runpy.run_module('gateway', run_name='__mp_main__')")
    assert {name for name in found if name.startswith("gateway")} == {"gateway"}


def test_help_starts_without_slow_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gateway", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    slow = {"torch", "transformers", "pydantic", "starlette", "uvicorn", "aiohttp", "rich"}
    assert not imported & slow
