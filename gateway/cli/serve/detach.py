"""`gateway serve --detach`: start a gateway in the background, and wait until it scores.

The command starts itself again without the flag, in a session of its own, with a log in place of
the terminal. It reads the notifications that a service manager would get (`sd_notify`), so that
"started" means the same: the port answers, the start of every model has ended, and one can score.
In any other case nothing is left running, and the exit code is that of the gateway.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail, warn
from gateway.cli.detached import Place, PlaceTaken, place_of
from gateway.cli.operator_socket import UNIX, new_socket_path
from gateway.cli.remote import DEFAULT_URL, NotAnswering, Target, fetch_json

if TYPE_CHECKING:
    from gateway.config import Settings

FLAG = "--detach"
STALL_SECONDS = 90.0
"""The time without progress after which a start has failed; the unit has the same."""

_STEP_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_SHOWN_LINES = 15
_LONGEST_NOTE = 4096


class _Hangup(Exception):
    """The terminal was closed, which does not end the gateway."""


def own_command() -> list[str]:
    """Return the command line of this process, without the flag."""
    return [sys.executable, *(word for word in sys.orig_argv[1:] if word != FLAG)]


def start(settings: "Settings", command: Sequence[str]) -> int:
    """Start a gateway in the background; return the exit code."""
    if not settings.port:
        raise click.UsageError(
            "--detach needs a port by which `gateway stop` finds the gateway: 0 is another one at "
            "each start"
        )
    place = place_of(settings.port)
    try:
        lock, log = place.claim(), place.new_log()
    except PlaceTaken as error:
        fail(
            f"a gateway runs in the background on port {place.port} already (process "
            f"{str(error) or 'not known yet'}): stop it with `gateway stop --port {place.port}`",
            exit_codes.UNAVAILABLE,
        )
    except OSError as error:
        fail(
            f"{place.folder} cannot be written ({error.strerror}): set XDG_STATE_HOME to a folder "
            "for pid file and log",
            exit_codes.CANNOT_CREATE,
        )
    with _notifications() as (address, notes):
        child = _spawn(command, address, lock, log)
        os.write(lock, f"{child.pid}\n".encode())
        os.close(lock)  # from here on the gateway alone has it
        os.close(log)
        return _Start(settings, place, child, notes).outcome()


def _spawn(command: Sequence[str], address: str, lock: int, log: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=[lock],
        env={**os.environ, "NOTIFY_SOCKET": address},
    )


@contextlib.contextmanager
def _notifications() -> Iterator[tuple[str, socket.socket]]:
    """Yield the address of a socket for notifications, and the socket."""
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    with (
        tempfile.TemporaryDirectory(prefix="rerank-gateway-") as folder,
        socket.socket(socket.AF_UNIX, kind) as notes,
    ):
        address = str(Path(folder) / "notify")
        notes.bind(address)
        notes.settimeout(_STEP_SECONDS)
        yield address, notes


class _Start:
    """The start of a gateway in the background, until it scores or has failed."""

    def __init__(
        self,
        settings: "Settings",
        place: Place,
        child: "subprocess.Popen[bytes]",
        notes: socket.socket,
    ) -> None:
        self._settings = settings
        self._place = place
        self._child = child
        self._notes = notes
        path = settings.admin_socket or new_socket_path(place.port)
        self._operator = Target(f"{UNIX}{path}") if path else None

    def outcome(self) -> int:
        """Wait; report the outcome and return the exit code."""
        with _interruptions():
            try:
                failure = self._failure()
            except KeyboardInterrupt:
                self._end()
                click.echo("interrupted: the gateway is not started", err=True)
                return exit_codes.INTERRUPTED
            except _Hangup:
                return exit_codes.REFUSED
        if failure is None:
            self._report_success()
            return exit_codes.OK
        self._end()
        for line in _last_lines(self._place.log):
            click.echo(f"  {line}", err=True)
        click.secho("error: ", fg="red", nl=False, err=True)
        click.echo(f"the gateway is not started: {failure}. Its log: {self._place.log}", err=True)
        return max(exit_codes.REFUSED, self._child.returncode)

    def _failure(self) -> str | None:
        """Wait for the end of the start; return why it failed, or `None` if the gateway scores."""
        stalled = time.monotonic() + STALL_SECONDS
        look = time.monotonic() + _LOOK_SECONDS
        while True:
            note = self._note()
            if "READY=1" in note:
                return None
            if (code := self._child.poll()) is not None:
                return _ending(code)
            now = time.monotonic()
            if note:
                stalled = now + STALL_SECONDS
            if now > look:
                look = now + _LOOK_SECONDS
                if reasons := self._lost_models():
                    return f"no model can score ({'; '.join(reasons)})"
            if now > stalled:
                return f"it has made no progress for {STALL_SECONDS:g} s"

    def _note(self) -> list[str]:
        """Return the lines of the next notification; none if there is none now."""
        try:
            lines = self._notes.recv(_LONGEST_NOTE).decode(errors="replace").splitlines()
        except TimeoutError:
            return []
        status = [line.removeprefix("STATUS=") for line in lines if line.startswith("STATUS=")]
        if sys.stderr.isatty():
            for line in status:
                click.echo(line, err=True)
        return lines

    def _lost_models(self) -> list[str]:
        """Return the error of each model if all have failed; else nothing."""
        health = self._ask("/health")
        if health.get("status") != "down":
            return []
        return self._errors() or ["see the log"]

    def _errors(self) -> list[str]:
        """Return the error of each model that has failed."""
        return [
            f"{model['name']}: {model['shards'][0]['last_error'] or 'failed'}"
            for model in self._ask("/status").get("models", [])
            if model["state"] == "failed"
        ]

    def _ask(self, path: str) -> dict[str, Any]:
        if self._operator is None:
            return {}
        try:
            found = fetch_json(self._operator, path)
        except NotAnswering:
            return {}
        return found if isinstance(found, dict) else {}

    def _end(self) -> None:
        """End the gateway, at once if it does not do so by itself, and remove its pid file."""
        bound = self._settings.drain_notice_seconds + self._settings.drain_seconds
        for end in (self._child.terminate, self._child.kill):
            if self._child.poll() is None:
                end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(bound + STALL_SECONDS)
        self._place.remove_stale()

    def _report_success(self) -> None:
        for error in self._errors():
            warn(f"a model does not score: {error}")
        scheme = "https" if self._settings.tls.certificate else "http"
        host = self._settings.host.strip("[]")
        address = f"[{host}]" if ":" in host else host
        port = self._place.port
        is_default = DEFAULT_URL.endswith(f":{port}")
        url = "" if is_default else f" --url {scheme}://127.0.0.1:{port}"
        flag = "" if is_default else f" --port {port}"
        click.echo(f"started as process {self._child.pid}: ready at {scheme}://{address}:{port}")
        click.echo(f"log: {self._place.log}")
        click.echo(f"next: `gateway status{url}`, `gateway logs -f{flag}`, `gateway stop{flag}`")


@contextlib.contextmanager
def _interruptions() -> Iterator[None]:
    """Let SIGTERM interrupt the wait as Ctrl-C does, and the end of the terminal leave it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        raise _Hangup

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGTERM: interrupt,
        signal.SIGHUP: hang_up,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending(code: int) -> str:
    if code < 0:
        return f"{signal.Signals(-code).name} ended it"
    return f"it ended with exit code {code}" if code else "it was stopped before it was ready"


def _last_lines(log: Path) -> list[str]:
    """Return the last lines of a log that are no lines of level info or debug."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        shown = [line for line in lines if '"level":"info"' not in line.replace('": "', '":"')]
        return shown[-_SHOWN_LINES:]
    return []
