"""Gateways of this user in the background: one for each port, with a pid file and a log.

They lie in `$XDG_STATE_HOME/rerank-gateway`, by default `~/.local/state/rerank-gateway`. A gateway
inherits the locked descriptor of its pid file and holds it until its end. So the kernel shows
whether it runs, and a process that has got the number of an ended one is not taken for it: it does
not have the pid file open.
"""

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CLAIM_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
_PRIVATE = 0o600
_STOPPING = "stopping"


class PlaceTaken(Exception):
    """A gateway in the background has this port; the message is its process id, if it is known."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that runs in the background.

    Attributes:
        pid: its process id.
        descriptor: its pidfd, which means this process and no later one.
        is_stopping: whether `gateway stop` has asked it to end.
    """

    pid: int
    descriptor: int
    is_stopping: bool

    def ask_to_end(self) -> None:
        """Send SIGTERM; harmless after its end."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGTERM)

    def has_ended(self, seconds: float | None = 0.0) -> bool:
        """Wait for its end, for so many seconds or without a bound; return whether it has ended."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else 1000 * seconds))


@dataclass(frozen=True, slots=True)
class Place:
    """The files of the gateway in the background on one port."""

    folder: Path
    port: int

    @property
    def pid_file(self) -> Path:
        """The file with its process id, which it keeps locked."""
        return self.folder / f"{self.port}.pid"

    @property
    def log(self) -> Path:
        """Its log since it was started."""
        return self.folder / f"{self.port}.log"

    @property
    def old_log(self) -> Path:
        """The log of the one before."""
        return self.folder / f"{self.port}.log.1"

    def claim(self) -> int:
        """Return the descriptor of the pid file, locked and emptied, for the gateway to inherit.

        Raises:
            PlaceTaken: another gateway, or the start of one, has it locked.
            OSError: the file cannot be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = time.monotonic() + _CLAIM_SECONDS
        while (descriptor := self._lock(os.O_CREAT)) is None:
            if time.monotonic() > end:  # a look of `running` takes a moment only
                raise PlaceTaken(self._text().partition("\n")[0])
            time.sleep(_PAUSE_SECONDS)
        os.ftruncate(descriptor, 0)
        return descriptor

    def new_log(self) -> int:
        """Return the descriptor of a new log; the present one becomes the old one."""
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.old_log)
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _PRIVATE)

    def remove_stale(self) -> bool:
        """Remove the pid file of a gateway that has ended; return whether there was one."""
        descriptor = self._lock()
        if descriptor is None:
            return False
        self.pid_file.unlink(missing_ok=True)
        os.close(descriptor)
        return True

    def mark_stopping(self) -> None:
        """Note that the gateway was asked to end: a second signal would cut its requests off."""
        with self.pid_file.open("a", encoding="ascii") as file:
            file.write(_STOPPING + "\n")

    @contextlib.contextmanager
    def running(self) -> Iterator[Running | None]:
        """Yield the gateway that runs here; `None` if there is none."""
        pid, _, rest = self._text().partition("\n")
        try:
            descriptor = os.pidfd_open(int(pid))
        except (ValueError, OverflowError, OSError):
            yield None
            return
        try:
            found = Running(int(pid), descriptor, _STOPPING in rest)
            yield found if self._is_open_in(found.pid) and not found.has_ended() else None
        finally:
            os.close(descriptor)

    def _is_open_in(self, pid: int) -> bool:
        """Return whether a process has the pid file open."""
        with contextlib.suppress(OSError):
            wanted = self.pid_file.stat()
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.path.samestat(link.stat(), wanted):
                        return True
        return False

    def _text(self) -> str:
        try:
            return self.pid_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""

    def _lock(self, create: int = 0) -> int | None:
        """Return the locked descriptor of the pid file; `None` if it is locked or missing."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | create
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.pid_file, flags, _PRIVATE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), self.pid_file.stat()):
                    return descriptor
            except OSError:  # locked, or removed meanwhile
                pass
            os.close(descriptor)
        return None


def place_of(port: int) -> Place:
    """Return the place of a port."""
    return Place(state_folder(), port)


def places() -> list[Place]:
    """Return the places with a pid file or a log, the one with the newest log first."""
    folder = state_folder()
    found = {
        Place(folder, int(path.stem))
        for path in (*folder.glob("*.pid"), *folder.glob("*.log"))
        if path.stem.isdecimal()
    }
    return sorted(found, key=_age)


def running_places() -> list[Place]:
    """Return the places where a gateway runs."""
    found = []
    for place in places():
        with place.running() as running:
            found += [place] if running else []
    return found


def state_folder() -> Path:
    """Return the folder of pid files and logs; XDG asks to ignore a variable that is relative."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "rerank-gateway"


def _age(place: Place) -> float:
    try:
        return -place.log.stat().st_mtime
    except OSError:
        return 0.0
