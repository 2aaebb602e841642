"""The scripts that make the environment, and the packages that they install."""

import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from scripts.sizes import FILE_LINES, FUNCTION_LINES, offenders

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "scripts" / name for name in ("setup", "serve", "test", "check", "docs")]
TOOLS = ("bash", "cat", "cksum", "dirname", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but the files that `scripts/setup` reads and the tools it may use."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts/setup")
    (tmp_path / "scripts/constraints.txt").write_text("pip==1\n")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def setup(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts/setup", *arguments],
        env={"PATH": str(checkout / "bin")},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)


def test_a_python_that_is_too_old_is_reported(checkout: Path) -> None:
    script(checkout / "bin/python3", '[[ "$1" == --version ]] && echo "Python 3.8.1"; exit 1')
    done = setup(checkout)
    assert done.returncode == 69
    assert "Python 3.11 or newer" in done.stderr
    assert "Found: Python 3.8.1" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_python_is_reported(checkout: Path) -> None:
    done = setup(checkout)
    assert done.returncode == 69
    assert "Python 3.11 or newer" in done.stderr


def installed(checkout: Path, kind: str) -> None:
    """Make a checkout as after `scripts/setup KIND`, with a pip that writes down its calls."""
    script(checkout / ".venv/bin/gateway", "")
    script(
        checkout / ".venv/bin/python",
        'if [[ "$1 $2" == "-m pip" ]]; then shift; echo "$*" >>calls; fi',
    )
    (checkout / "calls").unlink(missing_ok=True)
    assert setup(checkout, kind).returncode == 0
    assert (checkout / "calls").exists()
    (checkout / "calls").unlink()


def test_it_installs_once(checkout: Path) -> None:
    installed(checkout, "serve")
    done = setup(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (checkout / "calls").exists()


def test_the_tools_for_tests_come_on_top_and_include_those_for_serving(checkout: Path) -> None:
    installed(checkout, "serve")
    assert setup(checkout, "dev").returncode == 0
    assert "--group dev" in (checkout / "calls").read_text()
    (checkout / "calls").unlink()
    assert setup(checkout, "serve").returncode == 0
    assert setup(checkout, "dev").returncode == 0
    assert not (checkout / "calls").exists()


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/constraints.txt"])
def test_it_installs_again_when_the_pins_change(checkout: Path, name: str) -> None:
    installed(checkout, "dev")
    (checkout / name).write_text("# changed\n")
    assert setup(checkout, "dev").returncode == 0
    assert "--constraint scripts/constraints.txt" in (checkout / "calls").read_text()


def test_a_failed_installation_is_not_taken_for_done(checkout: Path) -> None:
    installed(checkout, "serve")
    (checkout / "scripts/constraints.txt").write_text("# changed\n")
    script(checkout / ".venv/bin/python", '[[ "$1" == -c ]]')
    assert setup(checkout).returncode != 0
    assert setup(checkout).returncode != 0


@pytest.mark.parametrize("file", [*SCRIPTS, ROOT / ".ci/run"], ids=lambda file: file.name)
def test_scripts_can_be_run_and_stop_at_the_first_error(file: Path) -> None:
    assert file.stat().st_mode & 0o111
    text = file.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    subprocess.run(["bash", "-n", str(file)], check=True)


def pins() -> dict[str, str]:
    lines = (ROOT / "scripts/constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {_normal(name): version for name, version in pairs}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["serve"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    names = {_normal(re.split(r"[\[><=!~ ;]", requirement)[0]) for requirement in asked}
    assert names - pins().keys() == {"rerank-gateway", "rerank-gateway-models"}  # our own
    assert "pip" in pins()


def test_what_is_installed_is_what_is_pinned() -> None:
    found = {
        _normal(package.metadata["Name"]): package.version for package in metadata.distributions()
    }
    differing = {
        name: (version, found[name])
        for name, version in pins().items()
        if name in found and found[name].partition("+")[0] != version
    }
    assert differing == {}


def test_pins_hold_on_any_machine() -> None:
    assert pins()["torch"] == "2.13.0"
    assert not any("+" in version or "/" in version for version in pins().values())


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/long.py").write_text("\n" * (FILE_LINES + 1))
    body = "    pass\n" * FUNCTION_LINES
    (tmp_path / "gateway/wide.py").write_text(f"def fine():\n{body[9:]}\n\ndef wide():\n{body}")
    first, second = offenders(tmp_path)
    assert "gateway/long.py: 351 lines" in first
    assert "wide has 61 lines" in second
