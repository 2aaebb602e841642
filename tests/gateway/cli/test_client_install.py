"""The client in an environment without the server's packages: the wheel and what it needs, alone.

The environments are fresh; the few packages are linked from the one of the tests, so no network is
needed.
"""

import json
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from shards.engines.fake import margin
from tests.gateway.cli.conftest import CLEAN

ROOT = Path(__file__).parents[3]
CLIENT = """
import sys
from gateway.client import AsyncClient, Client
with Client(sys.argv[1]) as client:
    ranking = client.rerank("capital", ["Berlin", "Paris"])
print(ranking.model, [result.index for result in ranking])
packages = {name.partition(".")[0] for name in sys.modules}
print(sorted(packages & {"orjson", "click", "rich", "pydantic", "torch", "starlette", "numpy"}))
"""


def closure(*names: str) -> set[str]:
    """Return packages and all that they need here, without extras."""
    found: set[str] = set()
    for name in names:
        found.add(_normal(name))
        for line in metadata.requires(name) or ():
            needed, _, marker = line.partition(";")
            package = re.split(r"[\[><=!~ (]", needed.strip())[0]
            if "extra" not in marker and _normal(package) not in found and _is_here(package):
                found |= closure(package)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_here(name: str) -> bool:
    """Return whether a package is installed; one for other systems or versions is not."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class Environment:
    """A fresh environment with the wheel, installed without its requirements."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
        (self._site,) = folder.glob("lib/python*/site-packages")

    def link(self, *packages: str) -> None:
        """Add packages, with what they need, from the environment of the tests."""
        for package in closure(*packages):
            for file in metadata.files(package) or ():
                top = file.parts[0]
                source, target = Path(str(file.locate())), self._site / top
                if top != ".." and not target.exists():
                    target.symlink_to(
                        source.parents[len(file.parts) - 2] if file.parts[1:] else source
                    )

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder, env=CLEAN, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.timeout(400)
def test_the_client_needs_aiohttp_and_msgspec_alone(
    wheel: Path, served: str, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "client", wheel)
    environment.link("aiohttp", "msgspec")
    done = environment.run("python", "-P", "-c", CLIENT, served)
    margins = [margin("capital", "Berlin"), margin("capital", "Paris")]
    order = sorted((0, 1), key=lambda index: -margins[index])
    assert (done.stdout, done.stderr) == (f"demo {order}\n[]\n", "")

    environment.link("click", "orjson")
    for name in ("gateway", "rerank-gateway"):
        done = environment.run(name, "rerank", "-q", "capital", "-d", "Paris", "--url", served)
        assert json.loads(done.stdout)["document"] == "Paris", done.stderr
        assert environment.run(name, "--help").stdout.startswith(f"Usage: {name} ")
    done = environment.run("gateway", "files", "alerts.yml")
    assert done.stdout == (ROOT / "configs" / "alerts.yml").read_text(), done.stderr
    for command, extra in (("serve", "serve"), ("rerank -q a -d b", "serve"), ("doctor", "cli")):
        done = environment.run("gateway", *command.split())
        assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
        assert f"rerank-gateway[{extra}]" in done.stderr


def test_the_wheel_is_small_and_asks_for_no_torch(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        lines = archive.read(described).decode().splitlines()
    assert wheel.stat().st_size < 3_000_000
    assert not [name for name in names if "embedded-bert" in name]
    required = {line.removeprefix("Requires-Dist: ") for line in lines if "Requires-Dist" in line}
    always = {re.split(r"[><=!~ ;]", line)[0] for line in required if "extra ==" not in line}
    assert always == {"aiohttp", "click", "msgspec", "orjson"}
    assert any(line.startswith("torch") and "extra == 'serve'" in line for line in required)
