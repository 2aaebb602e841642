"""`gateway serve --detach`, `gateway stop` and `gateway logs`, as processes."""

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.detached import Place
from tests.gateway.cli.conftest import CLEAN, TIMEOUT_SECONDS, gateway

FAKE = ("--engine", "fake", "--device", "cpu:0")


class Background:
    """Gateways in the background on one port, with a state folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.environ = {"XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.place = Place(folder / "rerank-gateway", self.port)
        self.url = f"http://127.0.0.1:{self.port}"

    def words(self, *arguments: str, source: str = "fake") -> list[str]:
        return [
            *("serve", "--detach", "--port", str(self.port), *FAKE),
            *("--model", f"demo={source}", *arguments),
        ]

    def start(self, *arguments: str, source: str = "fake") -> subprocess.CompletedProcess[str]:
        return self.run(*self.words(*arguments, source=source))

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return gateway(*arguments, **self.environ, **environ)

    @property
    def pid(self) -> int | None:
        with self.place.running() as running:
            return running.pid if running else None

    def wait_for(self, pattern: str) -> None:
        """Wait for a line in the log."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while not (self.place.log.exists() and re.search(pattern, self.place.log.read_text())):
            assert time.monotonic() < end, f"no {pattern!r} in the log"
            time.sleep(0.02)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return json.load(reply)

    def end(self) -> None:
        with self.place.running() as running:
            if running:
                os.kill(running.pid, signal.SIGKILL)
                running.has_ended(None)


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Background]:
    background = Background(tmp_path)
    yield background
    background.end()


def test_it_is_started_when_it_scores_and_stopped_when_it_has_ended(
    background: Background,
) -> None:
    started = background.start()
    assert started.returncode == 0, started.stderr
    pid = background.pid
    assert f"started as process {pid}: ready at {background.url}" in started.stdout
    assert str(background.place.log) in started.stdout
    assert background.get("/readyz")["ready"] is True
    assert background.run("status", "--url", background.url).returncode == 0
    assert "ready at" in background.run("logs").stdout
    stopped = background.run("stop")
    assert (stopped.returncode, background.pid) == (0, None)
    assert f"process {pid}" in stopped.stdout
    assert not background.place.pid_file.exists()
    assert '"event":"stopped"' in background.run("logs", "-n", "1").stdout
    assert background.run("stop").returncode == 2


def test_a_second_start_on_the_same_port_is_refused(background: Background) -> None:
    assert background.start().returncode == 0
    again = background.start()
    assert again.returncode == 69
    assert f"process {background.pid}" in again.stderr
    assert f"gateway stop --port {background.port}" in again.stderr
    assert background.get("/livez") == {"alive": True}
    assert background.run("stop").returncode == 0


def test_a_stop_waits_for_accepted_requests(background: Background) -> None:
    assert background.start(source="fake?delay_ms=4000").returncode == 0
    answers: list[int] = []

    def ask() -> None:
        body = json.dumps({"query": "q", "documents": ["a"]}).encode()
        request = urllib.request.Request(
            f"{background.url}/v1/rerank", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answers.append(reply.status)

    asking = threading.Thread(target=ask)
    asking.start()
    while not background.get("/health")["queue"] and not answers:
        time.sleep(0.01)
    hurried = background.run("stop", "--timeout", "0")
    assert background.run("stop").returncode in {0, 2}  # the first signal may have been enough
    asking.join()
    assert answers == [200]
    assert hurried.returncode in {0, 1}
    assert background.pid is None


@pytest.mark.parametrize(
    ("arguments", "source", "code", "words"),
    [
        (("--log-level", "loud"), "fake", 78, "log_level"),
        ((), "fake?refuse=66", 1, "no model can score"),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    background: Background, arguments: tuple[str, ...], source: str, code: int, words: str
) -> None:
    done = background.start(*arguments, source=source)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "started" not in done.stdout
    assert background.pid is None
    assert not background.place.pid_file.exists()


def test_a_missing_folder_has_its_exit_code(background: Background) -> None:
    words = ("--port", str(background.port), "--model", "x=/nowhere/at/all")
    done = background.run("serve", "--detach", *words)
    assert done.returncode == 66
    assert background.pid is None


def test_a_port_in_use_is_the_reason_and_the_exit_code(background: Background) -> None:
    with socket.create_server(("127.0.0.1", background.port)):
        done = background.start()
    assert done.returncode == 69
    assert "is in use by process" in done.stderr
    assert background.pid is None


def test_one_model_that_scores_is_enough_and_the_others_are_named(background: Background) -> None:
    done = background.start("--model", "broken=fake?refuse=66")
    assert done.returncode == 0
    assert "a model does not score: broken" in done.stderr
    assert background.run("stop").returncode == 0


def test_a_gateway_that_is_killed_while_it_starts_is_not_started(background: Background) -> None:
    with _starting(background) as starting:
        background.end()
        _, stderr = starting.communicate(timeout=TIMEOUT_SECONDS)
    assert starting.returncode == 1
    assert "SIGKILL ended it" in stderr


def test_an_interrupted_start_ends_the_gateway(background: Background) -> None:
    with _starting(background) as starting:
        starting.send_signal(signal.SIGINT)
        _, stderr = starting.communicate(timeout=TIMEOUT_SECONDS)
    assert starting.returncode == 130
    assert "is not started" in stderr
    assert background.pid is None


def _starting(background: Background) -> "subprocess.Popen[str]":
    """Return a start whose model loads for an hour, once the gateway waits for it."""
    words = background.words(source="fake?load_ms=3600000")
    starting = subprocess.Popen(
        ["env", "--default-signal=HUP", sys.executable, "-m", "gateway", *words],  # as above
        env={**CLEAN, **background.environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    background.wait_for("models are loading")
    return starting


def test_a_stale_pid_file_harms_no_foreign_process(background: Background) -> None:
    background.place.folder.mkdir()
    with subprocess.Popen(["sleep", "600"]) as foreign:
        background.place.pid_file.write_text(f"{foreign.pid}\n")
        stopped = background.run("stop", "--port", str(background.port))
        assert stopped.returncode == 2
        assert "pid file" in stopped.stderr
        background.place.pid_file.write_text(f"{foreign.pid}\n")
        assert background.start().returncode == 0
        assert background.pid != foreign.pid
        assert background.run("stop").returncode == 0
        assert foreign.poll() is None
        foreign.kill()


def test_it_survives_the_end_of_its_terminal(background: Background) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` has a child ignore
        line = shlex.join([sys.executable, "-m", "gateway", *background.words()])
        words = ["sh", "-c", f"{line}; echo code $?; read line"]
        os.execve("/bin/sh", words, {**CLEAN, **background.environ})
    output = b""
    while b"code " not in output:
        output += os.read(terminal, 4096)
    os.close(terminal)  # SIGHUP to the shell and its session
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGHUP, output
    assert b"code 0" in output
    assert background.get("/readyz")["ready"] is True
    assert background.run("stop").returncode == 0


def test_a_terminal_that_closes_during_the_start_leaves_it_going(background: Background) -> None:
    with _starting(background) as starting:
        starting.send_signal(signal.SIGHUP)
        starting.communicate(timeout=TIMEOUT_SECONDS)
    assert background.pid is not None
    assert background.run("stop").returncode == 0


def test_port_0_is_refused() -> None:
    done = gateway("serve", "--detach", "--port", "0", "--model", "demo=fake", *FAKE)
    assert done.returncode == 2
    assert "--detach needs a port" in done.stderr


def test_a_folder_that_cannot_be_written_is_refused(background: Background) -> None:
    background.place.folder.write_text("a file in its place")
    done = background.start()
    assert done.returncode == 73
    assert "XDG_STATE_HOME" in done.stderr
