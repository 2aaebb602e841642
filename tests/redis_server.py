"""Real Redis servers for tests: on a free port and a Unix socket in a folder of the test."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.certificates import make_pair

PATIENCE_SECONDS = 120.0


def free_port() -> int:
    """Return a port that is free, and that the kernel gives to no connection meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)  # below `ip_local_port_range`
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """One server process; `start` after `kill` starts it anew, empty.

    Args:
        folder: a folder for its socket and its files.
        options: options of redis-server, such as `--maxmemory 2mb`.
        tls: whether its port takes TLS alone.
    """

    def __init__(self, folder: Path, *options: str, tls: bool = False) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed; scripts/system-packages does it")
        folder.mkdir(exist_ok=True)
        self.folder, self.port = folder, free_port()
        self.socket = folder / "redis.sock"
        self._options = options
        self._certificate = make_pair(folder, "redis") if tls else None
        self._process: subprocess.Popen[bytes] | None = None

    def _listening(self) -> tuple[str, ...]:
        if self._certificate is None:
            return ("--port", str(self.port))
        certificate, key = map(str, self._certificate)
        files = ("--tls-cert-file", certificate, "--tls-key-file", key)
        plain = ("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no")
        return (*plain, *files, "--tls-ca-cert-file", certificate)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it; another program may have taken its port since, so that it takes another one."""
        self._launch()
        while not self._answers():
            self.port = free_port()
            self._launch()

    def _launch(self) -> None:
        self.socket.unlink(missing_ok=True)
        command = ["redis-server", *self._first(), "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--unixsocket", str(self.socket), *self._listening(), *self._options],
                stdout=log,
                stderr=log,
            )

    def _first(self) -> tuple[str, ...]:
        return ("--save", "", "--appendonly", "no")

    def _answers(self) -> bool:
        """Wait for its first answer; return whether it came, or its port was in use."""
        end = time.monotonic() + PATIENCE_SECONDS
        assert self._process is not None
        while b"PONG" not in self.call("PING") and b"NOAUTH" not in self.call("PING"):
            text = (self.folder / "redis.log").read_text()
            if self._process.poll() is not None and "bind" in text:
                return False
            assert time.monotonic() < end, text
            time.sleep(0.01)
        return True

    def call(self, *command: str | bytes) -> bytes:
        """Return the answer to a command, as it is on the wire; empty without one."""
        parts = [part.encode() if isinstance(part, str) else part for part in command]
        text = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(text)
                return connection.recv(1 << 20)
        except OSError:
            return b""

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Stop it as a process that does not run; `resume` lets it go on."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(folder: Path, *options: str, tls: bool = False) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(folder, *options, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Sentinel(RedisServer):
    """A sentinel, which writes its file itself."""

    def _first(self) -> tuple[str, ...]:
        file = self.folder / "sentinel.conf"
        file.touch()
        return (str(file), "--sentinel")


@contextmanager
def sentinel(folder: Path, *options: tuple[str, ...]) -> Iterator[Sentinel]:
    """Run a sentinel until the block ends."""
    server = Sentinel(folder, *(part for option in options for part in option))
    server.start()
    try:
        yield server
    finally:
        server.kill()
