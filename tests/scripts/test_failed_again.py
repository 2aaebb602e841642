"""Tests that failed are run again alone, and named as flaky if they pass then."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "failed-again"
_TESTS = """
import pathlib, pytest

@pytest.mark.parametrize("case", range({failing}))
def test_it(case):
    assert pathlib.Path("mended").exists()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(_SCRIPT, tmp_path / "scripts")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "pytest.toml").write_text("[pytest]\n")
    return tmp_path


def _run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=checkout, text=True, capture_output=True, check=False)


def _fail(checkout: Path, failing: int) -> None:
    (checkout / "test_some.py").write_text(_TESTS.format(failing=failing))
    assert _run(checkout, ".venv/bin/python", "-m", "pytest", "-q").returncode == 1


@pytest.mark.parametrize(
    ("failing", "mended", "code", "flaky"), [(2, True, 0, 2), (2, False, 1, 0), (9, True, 1, 0)]
)
def test_up_to_eight_failed_tests_get_a_second_run(
    checkout: Path, failing: int, mended: bool, code: int, flaky: int
) -> None:
    _fail(checkout, failing)
    if mended:
        (checkout / "mended").touch()
    again = _run(checkout, "scripts/failed-again")
    assert (again.returncode, again.stderr.count("FLAKY")) == (code, flaky)


def test_without_a_failed_test_there_is_nothing_to_excuse(checkout: Path) -> None:
    assert _run(checkout, "scripts/failed-again").returncode == 1
