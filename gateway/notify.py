"""What systemd is told, and what it hands over: sd_notify(3) and sd_listen_fds(3).

Both protocols are a few lines over the standard library, stable for ever by systemd's promise; the
packages that wrap them are larger than they are. The variables are taken out of the environment when
they are read: a shard must neither speak in the gateway's name nor believe that the port is its own.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Tells the service manager how it goes; silent where nobody listens.

    Attributes:
        watchdog_seconds: how often it wants to be told that all is well, at least; 0 for never.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        """Speak to a Unix socket, `@` before an abstract name; nowhere without one."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds if address else 0.0

    @classmethod
    def of(cls, environment: MutableMapping[str, str], pid: int) -> "Notifier":
        """Take what the service manager has put into the environment of this process."""
        address = environment.pop("NOTIFY_SOCKET", "")
        micros = environment.pop("WATCHDOG_USEC", "0")
        meant_for = environment.pop("WATCHDOG_PID", str(pid))
        asked = micros.isdigit() and meant_for == str(pid)
        return cls(address, int(micros) / 1e6 if asked else 0.0)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Say that requests are answered; also the end of a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Say that a reload has begun."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1")

    def status(self, line: str) -> None:
        """Say how it goes, in one line for people."""
        self._say(f"STATUS={line}")

    def alive(self) -> None:
        """Say that all is well."""
        self._say("WATCHDOG=1")

    def needs(self, seconds: float) -> None:
        """Ask for so much more time to start, from now on."""
        self._say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _say(self, *lines: str) -> None:
        """Send without ever waiting: a service manager that is away must not stop the gateway."""
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as speaker:
            speaker.setblocking(False)
            speaker.sendto("\n".join(lines).encode(), self._address)


def inherited_listener(environment: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """Return the listening socket that a socket unit has opened for us, if there is one.

    Raises:
        ValueError: there are several, or it is not a TCP socket that listens.
    """
    meant_for = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if meant_for != str(pid) or count == "0":
        return None
    if count != "1":
        raise ValueError(
            f"the socket unit hands over {count} sockets, the gateway listens on one: keep one "
            "ListenStream= in rerank-gateway.socket"
        )
    os.set_inheritable(_FIRST_DESCRIPTOR, False)
    listener = socket.socket(fileno=_FIRST_DESCRIPTOR)
    is_tcp = listener.family in (socket.AF_INET, socket.AF_INET6)
    if not is_tcp or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise ValueError(
            "descriptor 3 is not a TCP socket that listens: write ListenStream=ADDRESS:PORT, and "
            "Accept=no, in rerank-gateway.socket"
        )
    return listener
