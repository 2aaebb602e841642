"""Missing parts of the package are reported with the extra that brings them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli.extras import EXTRAS, how_to_install

ROOT = Path(__file__).parents[3]


MODULES = {"python_dotenv": "dotenv"}
"""Modules that have another name than their package."""


def asked_for(extra: str) -> set[str]:
    """Return the modules that an extra brings, by the names of its packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = (
        re.split(r"[\[><=!~ ;]", requirement)[0]
        for requirement in project["optional-dependencies"][extra]
    )
    names = {name.replace("-", "_") for name in packages if not name.startswith("rerank-gateway")}
    return {MODULES.get(name, name) for name in names}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_names_what_an_extra_brings(extra: str) -> None:
    assert EXTRAS[extra] == asked_for(extra)


def test_other_modules_are_of_no_extra() -> None:
    assert how_to_install("gateway.cli.gone", "gateway serve") == ""
    assert how_to_install(None, "gateway serve") == ""
    assert "rerank-gateway[serve]" in how_to_install("uvicorn.config", "gateway serve")


@pytest.mark.parametrize(
    ("module", "command", "extra"), [("pydantic", "serve", "serve"), ("rich", "doctor", "cli")]
)
def test_a_command_names_the_install_that_it_needs(module: str, command: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['gateway', {command!r}]\n"
        "from gateway.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1
    assert f"pip install 'rerank-gateway[{extra}]'" in done.stderr
