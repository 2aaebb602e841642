"""The units that `systemd/install` writes, checked by systemd's own tools."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / "systemd" / "install"
UNITS = Path("etc/systemd/system")
THRESHOLD = "20"  # systemd-analyze counts in tenths: an exposure of 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not there; apt install systemd, or run scripts/system-packages",
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A folder that looks like a checkout with its environment."""
    folder = tmp_path / "prefix"
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("gateway", "python"):
        (binaries / name).symlink_to(sys.executable)
    (folder / "docs").mkdir()
    return folder


def install(root: Path, prefix: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return run(INSTALL, "--root", root, "--prefix", prefix, *flags)


@needs_systemd
@pytest.mark.parametrize("devices", ["gpu", "cpu"])
def test_systemd_accepts_the_units_and_finds_them_closed(
    tmp_path: Path, prefix: Path, devices: str
) -> None:
    done = install(tmp_path, prefix, f"--{devices}")
    assert done.returncode == 0, done.stderr
    units = [tmp_path / UNITS / f"rerank-gateway.{kind}" for kind in ("service", "socket")]
    verified = run("systemd-analyze", "verify", "--man=no", *units)
    assert (verified.returncode, verified.stderr) == (0, "")
    security = ("systemd-analyze", "security", "--offline=yes")
    exposed = run(*security, f"--threshold={THRESHOLD}", units[0])
    assert exposed.returncode == 0, exposed.stdout
    drop_in = tmp_path / UNITS / "rerank-gateway.service.d" / "devices.conf"
    assert drop_in.read_text() == (ROOT / "systemd" / f"{devices}.conf").read_text()


def test_it_lists_the_written_files_and_keeps_the_configuration(
    tmp_path: Path, prefix: Path
) -> None:
    first = install(tmp_path, prefix, "--cpu")
    written = {
        path for path in tmp_path.rglob("*") if path.is_file() and prefix not in path.parents
    }
    assert len(written) == 6
    assert all(str(path) in first.stdout for path in written)
    config = tmp_path / "etc/rerank-gateway/gateway.toml"
    config.write_text("port = 9000\n")
    again = install(tmp_path, prefix, "--cpu")
    assert f"kept {config}" in again.stdout
    assert config.read_text() == "port = 9000\n"
    removed = install(tmp_path, prefix, "--remove")
    assert removed.returncode == 0, removed.stderr
    assert {path for path in written if path.exists()} == {config}


def test_the_paths_of_the_units_are_the_prefix(tmp_path: Path, prefix: Path) -> None:
    install(tmp_path, prefix, "--cpu")
    unit = (tmp_path / UNITS / "rerank-gateway.service").read_text()
    assert f"ExecStart={prefix}/.venv/bin/gateway serve " in unit
    assert "/opt/rerank-gateway" not in unit


def test_without_an_environment_the_error_has_the_command_to_run(tmp_path: Path) -> None:
    done = install(tmp_path, tmp_path / "nothing")
    assert done.returncode == 69
    assert "scripts/setup" in done.stderr


def test_an_error_has_all_its_words() -> None:
    script = INSTALL.read_text().partition("fail() {")[2].partition("\n}")[0]
    done = run("bash", "-c", f'fail() {{{script}\n}}\nfail 69 "clone to" "/opt/rerank-gateway"')
    assert (done.returncode, done.stderr) == (69, "error: clone to /opt/rerank-gateway\n")


def test_the_next_steps_are_those_of_the_documents(tmp_path: Path, prefix: Path) -> None:
    printed = install(tmp_path, prefix, "--cpu").stdout.partition("next: ")[2]
    steps = re.findall(r"(?:sudo )?systemctl [\w. -]*[\w-]", printed)
    assert len(steps) == 3
    for page in ("install", "operations"):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        assert [step for step in steps[:2] if step not in text] == []
    assert steps[2] in (ROOT / "docs" / "operations.md").read_text()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's configuration; the user's systemd is a program that always agrees."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    fake = binaries / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit "${{REFUSED:-0}}"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path / "config"


def test_a_user_has_a_service_without_root(tmp_path: Path, prefix: Path, own: Path) -> None:
    unit = own / "systemd/user/rerank-gateway.service"
    config = own / "rerank-gateway/gateway.toml"
    done = run(INSTALL, "--user", "--prefix", prefix)
    assert done.returncode == 0, done.stderr
    assert f"ExecStart={prefix}/.venv/bin/gateway serve " in unit.read_text()
    assert "/opt/rerank-gateway" not in unit.read_text()
    assert "systemctl --user enable --now rerank-gateway" in done.stdout
    config.write_text("port = 9000\n")
    assert f"kept {config}" in run(INSTALL, "--user", "--prefix", prefix).stdout
    removed = run(INSTALL, "--user", "--remove")
    assert removed.returncode == 0, removed.stderr
    assert not unit.exists()
    assert config.read_text() == "port = 9000\n"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-2:] == ["--user disable --now rerank-gateway.service", "--user daemon-reload"]


@needs_systemd
def test_systemd_accepts_the_unit_of_a_user(prefix: Path, own: Path) -> None:
    assert run(INSTALL, "--user", "--prefix", prefix).returncode == 0
    unit = own / "systemd/user/rerank-gateway.service"
    verified = run("systemd-analyze", "verify", "--man=no", unit)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_user_without_a_session_gets_the_remedy(
    prefix: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSED", "1")
    done = run(INSTALL, "--user", "--prefix", prefix)
    assert done.returncode == 69
    assert "systemctl --user daemon-reload" in done.stderr
    assert "next:" not in done.stdout


def test_a_user_service_is_not_installed_by_sudo(
    prefix: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "someone")
    assert run(INSTALL, "--user", "--prefix", prefix).returncode == 77
    assert not own.exists()


def test_a_wrong_flag_is_refused() -> None:
    done = run(INSTALL, "--gpus")
    assert done.returncode == 2
    assert "--gpus" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_only_root_may_install() -> None:
    assert run(INSTALL).returncode == 77


def test_its_configuration_is_valid(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "gateway", "check", ROOT / "systemd" / "gateway.toml")
    assert run(*command).returncode == 0


def test_the_time_to_stop_covers_the_defaults() -> None:
    from gateway.config import Settings

    unit = (ROOT / "systemd" / "rerank-gateway.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("TimeoutStopSec=")]
    settings = Settings()
    supervision = settings.supervision
    needed = settings.drain_seconds + supervision.stop_seconds + supervision.kill_seconds
    assert int(line.removeprefix("TimeoutStopSec=").removesuffix("s")) > needed
