"""scripts/test-pythons and the smoke test that it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATEWAY = Path(sys.executable).parent / "gateway"


@pytest.mark.skipif(not GATEWAY.is_file(), reason="the package is not installed here")
def test_the_smoke_test_passes_in_this_installation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "smoke.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "scores 0.9" in done.stdout


def test_a_version_that_is_not_here_is_left_out_and_none_is_an_error() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "test-pythons", "3.99"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 69
    assert done.stdout == "3.99: not here, left out\n"
    assert "none of these versions is here: 3.99" in done.stderr
