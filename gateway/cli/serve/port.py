"""Listening sockets, opened before anything is loaded, and the reasons why one is not available."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

BACKLOG = 2048
LISTENING = "0A"  # in /proc/net/tcp


class PortUnavailable(Exception):
    """An address that cannot be listened on; the message has the reason and a remedy."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Listening starts here, before the models are loaded: a second gateway must fail at once, and
    early clients wait instead of being refused.

    Raises:
        PortUnavailable: the message names the process that has the port, if it is visible.
    """
    bare = host.strip("[]")
    try:
        family, *_, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PortUnavailable(f"{host} is no address of this machine ({error.strerror})") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortUnavailable(_port_problem(error, host, port)) from None
    listener.set_inheritable(False)
    return listener


def listen_for_operator(path: Path) -> socket.socket:
    """Return a Unix socket that only the user of this process can connect to.

    A socket that an earlier gateway has left behind, on which no process listens, is replaced.

    Raises:
        PortUnavailable: the socket cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortUnavailable(_socket_problem(error, path)) from None
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def _socket_problem(error: OSError, path: Path) -> str:
    if error.errno == errno.EADDRINUSE:
        kind = "another gateway listens there" if path.is_socket() else "a file is in its place"
        return f"admin_socket {path}: {kind}; stop it or remove it, or choose another path"
    reason = error.strerror or str(error)  # a path over 107 bytes has no errno
    return f"admin_socket {path} cannot be made ({reason}); choose another path"


def url(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _port_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = next(_owners(port), "another process")
        return f"port {port} is in use by {owner}; stop it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; use one above 1023, behind a proxy if needed"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; use 127.0.0.1, or an address of this machine"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def _owners(port: int) -> Iterator[str]:
    """Yield the processes that listen on a port, as far as this user can see them in /proc."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & set(_open_files(process)):
            yield f"process {process.name} ({_command(process)})"


def _open_files(process: Path) -> Iterator[str]:
    """Yield the open files of a process; none if it is another user's or has just ended."""
    try:
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                yield str(descriptor.readlink())
    except OSError:
        return


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        file = Path("/proc/net") / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "name not visible"
