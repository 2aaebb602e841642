"""Notifications to systemd, and sockets inherited from it: sd_notify(3) and sd_listen_fds(3).

Both protocols are a few lines over the standard library, and systemd promises to keep them stable;
the packages that wrap them are larger than the protocols. The variables are taken out of the
environment when they are read: a shard must neither notify in the gateway's name nor take the port
for its own.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Notifications to the service manager; none are sent where there is no service manager.

    Attributes:
        watchdog_seconds: longest time between two keep-alive pings; 0 if none are expected.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        """Take the path of a Unix socket, with `@` before an abstract name; empty for none."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds if address else 0.0

    @classmethod
    def of(cls, environment: MutableMapping[str, str], pid: int) -> "Notifier":
        """Take the service manager's variables out of the environment of this process."""
        address = environment.pop("NOTIFY_SOCKET", "")
        micros = environment.pop("WATCHDOG_USEC", "0")
        watched = environment.pop("WATCHDOG_PID", str(pid))
        expected = micros.isdigit() and watched == str(pid)
        return cls(address, int(micros) / 1e6 if expected else 0.0)

    @property
    def is_enabled(self) -> bool:
        """True if there is a service manager."""
        return bool(self._address)

    def ready(self) -> None:
        """Report that requests are answered, at the start or at the end of a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that a reload has begun."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the end has begun."""
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """Report the state in one line for people."""
        self._send(f"STATUS={line}")

    def keep_alive(self) -> None:
        """Send a keep-alive ping."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for this much more time to start, from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        """Send without waiting: an absent service manager must not stop the gateway."""
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)


def inherited_listener(environment: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """Return the listening socket that a socket unit has opened for this process, if any.

    Raises:
        ValueError: there are several, or it is not a TCP socket that listens.
    """
    owner = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if owner != str(pid) or count == "0":
        return None
    if count != "1":
        raise ValueError(
            f"the socket unit passes {count} sockets, the gateway listens on one: keep one "
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
