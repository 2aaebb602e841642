"""The operator's socket that no configuration names: private, and found by the port."""

import os
import socket
from pathlib import Path

import pytest

from gateway.cli import operator_socket
from gateway.cli.operator_socket import new_socket_path, socket_of_url
from gateway.cli.serve.port import listen_for_operator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(operator_socket, "_folders", lambda: iter([tmp_path / "run"]))
    return tmp_path / "run"


def test_a_socket_is_found_by_its_port(folder: Path) -> None:
    path = new_socket_path(9000)
    assert path == folder / "9000.sock"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert socket_of_url("http://127.0.0.1:9000") is None
    with listen_for_operator(path):
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert socket_of_url(f"http://{host}:9000/") == path
        for url in ("http://127.0.0.1:9001", "http://192.0.2.1:9000", "unix:/x", "http://[", "x"):
            assert socket_of_url(url) is None
    assert path.is_socket()  # left behind
    assert socket_of_url("http://127.0.0.1:9000") is None


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_folder_that_is_not_private_is_not_used(folder: Path, tmp_path: Path, kind: str) -> None:
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "9000.sock"))
            other.listen()
            assert socket_of_url("http://127.0.0.1:9000") is None
    elif kind == "a link":
        (tmp_path / "real").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "real")
    else:
        folder.write_text("mine")
    assert new_socket_path(9000) is None


def test_a_folder_that_cannot_be_made_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Path("/proc/nowhere/rerank-gateway")
    monkeypatch.setattr(operator_socket, "_folders", lambda: iter([nowhere]))
    assert new_socket_path(os.getpid()) is None
