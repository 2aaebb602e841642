"""The operator's socket of a gateway that configures none: in a private folder, named by its port.

`gateway serve` makes it, and `gateway status`, `reload` and `drain` of the same user find it. The
folder is `$XDG_RUNTIME_DIR/rerank-gateway` or `/tmp/rerank-gateway-UID`, with mode 0700. A session
without the variable (cron, su) looks for the socket of a session with it in `/run/user/UID`.
"""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

UNIX = "unix:"
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_ANSWER_SECONDS = 1.0


def new_socket_path(port: int) -> Path | None:
    """Return the path for the socket of a port; `None` if no folder is private and writable."""
    for folder in _folders():
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if _is_private(folder) and os.access(folder, os.W_OK):
            return folder / f"{port}.sock"
    return None


def socket_of_url(url: str) -> Path | None:
    """Return the socket of this user's gateway at a URL of this machine, if one answers."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or parts.hostname not in _OWN_HOSTS:
        return None
    found = [folder / f"{port}.sock" for folder in _folders() if _is_private(folder)]
    return next((path for path in found if path.is_socket() and answers(path)), None)


def answers(path: Path) -> bool:
    """Return whether a process listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _folders() -> Iterator[Path]:
    for base in dict.fromkeys((os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}")):
        if base:
            yield Path(base) / "rerank-gateway"
    yield Path(f"/tmp/rerank-gateway-{os.getuid()}")


def _is_private(folder: Path) -> bool:
    """Return whether a folder is this user's, and closed to others."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_closed = not stat.S_IMODE(found.st_mode) & 0o077
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and is_closed
