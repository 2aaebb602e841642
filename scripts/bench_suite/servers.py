"""A server as a process tree of its own: started, awaited, paused while others are measured, ended.

Two costs are measured from outside, for all servers alike: the time from the start to the first
answer, and peak memory, summed over all processes as the kernel counts them (`VmHWM`).
"""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

import psutil

ROOT = Path(__file__).parents[2]
_LOOK_SECONDS = 0.05
_END_SECONDS = 20.0


class CannotStart(Exception):
    """A server ended or did not answer in time. The message has the path and the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The command line and environment of a server.

    Attributes:
        command: with `{port}` for the port it must listen on.
        ready_path: the path that answers 200 once the server can score.
        environment: added to ours.
        patience_seconds: time limit of its start.
    """

    command: Sequence[str]
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    patience_seconds: float = 300.0


class Running:
    """A server that answers.

    Attributes:
        url: of it, without path.
        seconds_to_ready: from the start of its process.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, seconds: float) -> None:
        self.url = url
        self.seconds_to_ready = seconds
        self._process = process

    def pause(self) -> None:
        """Stop all its processes where they are, parents first: no parent misses a child."""
        self._signal(signal.SIGSTOP, self._tree())

    def resume(self) -> None:
        """Continue all its processes."""
        self._signal(signal.SIGCONT, self._tree()[::-1])

    def peak_mb(self) -> float:
        """Return its peak memory in MiB: the sum of the peaks of its processes."""
        return sum(_peak_kb(process.pid) for process in self._tree()) / 1024

    def end(self) -> None:
        """Ask the server to end, then end its remaining processes."""
        self.resume()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @staticmethod
    def _signal(number: signal.Signals, processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


@contextmanager
def started(server: Server, log: Path) -> Iterator[Running]:
    """Start a server and wait until it can score; end it when the block ends.

    Raises:
        CannotStart: it ended, or was not ready in time.
    """
    port = _free_port()
    command = [part.replace("{port}", str(port)) for part in server.command]
    began = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **server.environment},
            start_new_session=True,
        )
    running = Running(process, f"http://127.0.0.1:{port}", 0.0)
    try:
        _wait(process, running.url + server.ready_path, began + server.patience_seconds, log)
        running.seconds_to_ready = time.monotonic() - began
        yield running
    finally:
        running.end()


def _wait(process: subprocess.Popen[bytes], url: str, end: float, log: Path) -> None:
    while not _answers(url):
        if process.poll() is not None:
            raise CannotStart(f"it ended with {process.returncode}: {_last_line(log)}")
        if time.monotonic() > end:
            raise CannotStart(f"it was not ready in time: {_last_line(log)}")
        time.sleep(_LOOK_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it wrote nothing"


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(line[1]) for line in lines if line[0] == "VmHWM:"), 0)


def _free_port() -> int:
    with socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
