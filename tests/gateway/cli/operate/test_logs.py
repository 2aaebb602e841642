"""`gateway logs`: the end of a log, and what is added to it."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.detached import Place
from gateway.cli.operate.logs import start_of_last
from tests.gateway.cli.conftest import CLEAN, gateway

LONG = [f"line {number} {'x' * 300}" for number in range(1000)]  # several blocks


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 5000])
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_lines_are_found(count: int, end: str) -> None:
    stream = io.BytesIO(("\n".join(LONG) + end).encode())
    stream.seek(start_of_last(stream, count))
    assert stream.read().decode().splitlines() == LONG[len(LONG) - min(count, len(LONG)) :]


def test_an_empty_log_has_no_lines() -> None:
    assert start_of_last(io.BytesIO(), 10) == 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "rerank-gateway", 8080)
    place.folder.mkdir()
    return place


def test_without_a_log_the_error_has_the_command_that_makes_one(tmp_path: Path) -> None:
    for arguments in ((), ("--port", "1234")):
        done = gateway("logs", *arguments, XDG_STATE_HOME=str(tmp_path))
        assert done.returncode == 2
        assert "gateway serve --detach" in done.stderr


def test_the_newest_log_is_shown_and_named(place: Place, tmp_path: Path) -> None:
    place.log.write_text("old\n")
    os.utime(place.log, (1, 1))
    Place(place.folder, 9000).log.write_text("one\ntwo\n")
    done = gateway("logs", "-n", "1", XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "two\n")
    assert "port 9000" in done.stderr
    assert gateway("logs", "--port", "8080", XDG_STATE_HOME=str(tmp_path)).stdout == "old\n"


def test_a_log_is_followed_when_it_grows_is_cut_and_is_replaced(
    place: Place, tmp_path: Path
) -> None:
    place.log.write_text("first\n")
    command = [sys.executable, "-u", "-m", "gateway", "logs", "-f"]
    environ = {**CLEAN, "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "first\n"
        with place.log.open("a") as log:
            log.write("added to it\n")
        assert following.stdout.readline() == "added to it\n"
        place.log.write_text("cut\n")
        assert following.stdout.readline() == "cut\n"
        os.close(place.new_log())
        place.log.write_text("replaced\n")
        assert following.stdout.readline() == "replaced\n"
        following.send_signal(signal.SIGINT)
    assert following.returncode == 0
