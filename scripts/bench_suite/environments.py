"""Environments of the baselines that do not live with our packages: `.venv-bench-NAME`, from pins.

Packages are installed without dependencies from a list of exact versions. So no unmeasured
package is pulled in, such as torch for CUDA.
"""

import subprocess
import sys
import zlib
from pathlib import Path

from scripts.bench_suite.servers import ROOT

_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
PINS = {
    "sentence-transformers": "scripts/bench-constraints.txt",
    "vllm": "scripts/bench-vllm-constraints.txt",
}


class CannotInstall(Exception):
    """An environment cannot be made here; says what pip said last."""


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there or out of date.

    Raises:
        CannotInstall: pip failed.
    """
    folder, pins = ROOT / f".venv-bench-{name}", ROOT / PINS[name]
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = f"{zlib.crc32(pins.read_bytes()):08x}"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        sys.stderr.write(f"Installing {PINS[name]} into {folder.name} (once; some minutes) ...\n")
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _install(python, pins)
        stamp.write_text(wanted)
    return python


def _install(python: Path, pins: Path) -> None:
    lines = pins.read_text().splitlines()
    torch = next(line for line in lines if line.startswith("torch=="))
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "-q")
    try:
        _run(*pip, torch)
    except CannotInstall:
        _run(*pip, torch, "--index-url", _TORCH_INDEX)
    _run(*pip, "--requirement", str(pins))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(said[-1] if said else f"{command[0]} failed")
