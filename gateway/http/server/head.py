"""Checks of a request's head: its size, its framing, its host. Pure.

The parser (llhttp) already refuses most attacks on framing. The headers that decide where a request
ends are checked here again, so that a parser that becomes lenient cannot make the gateway disagree
with a proxy in front of it. Header names are in lower case here.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import httptools

from gateway.config import HttpSettings
from gateway.domain.errors import HeadersTooLarge, InvalidRequest

Header = tuple[bytes, bytes]

LOOPBACK_NAMES = ("localhost", "*.localhost", "127.0.0.1", "[::1]")

HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{0,5})?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_PER_LINE = len(b": \r\n")
_SHOWN = 80


class AllowedHosts:
    """The names that are accepted in a `Host` header.

    A page in a browser on this machine can make its own name resolve to 127.0.0.1 and then read the
    gateway's replies as its own (DNS rebinding); but the `Host` header still has that name.
    """

    allows: Callable[[bytes], bool]

    def __init__(self, allowed: Iterable[str]) -> None:
        """Take `name`, `name:port`, `*.domain`, or `*` for any."""
        names = [name.lower() for name in allowed]
        self._any = "*" in names
        self.allows = lru_cache(256)(self._allows)
        self._exact = {name for name in names if not name.startswith("*")}
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))

    @classmethod
    def of(cls, settings: HttpSettings, host: str) -> "AllowedHosts":
        """Return the hosts that `http.allowed_hosts` means when listening on `host`."""
        if not settings.allowed_hosts and not (host == "localhost" or _is_loopback(host)):
            return cls("*")
        own = f"[{host.strip('[]')}]" if ":" in host else host
        return cls([*LOOPBACK_NAMES, own, *settings.allowed_hosts])

    def _allows(self, host: bytes) -> bool:
        """Return whether a host (`localhost:8080`, `[::1]`) is well-formed and accepted."""
        if not HOST.fullmatch(host):
            return False
        if self._any:
            return True
        whole = host.decode("ascii").lower()
        name = whole if whole.endswith("]") else whole.rpartition(":")[0] or whole
        name = name.removesuffix(".")
        return (
            name in self._exact
            or whole in self._exact
            or name.endswith(self._endings)
            or _is_loopback(name)
        )


def check_head(
    version: str,
    target: bytes,
    headers: Sequence[Header],
    *,
    settings: HttpSettings,
    hosts: AllowedHosts,
) -> None:
    """Check a whole head.

    Args:
        version: "1.1" or "1.0".
        target: as in the request line.

    Raises:
        HeadersTooLarge: it has too many lines or bytes.
        InvalidRequest: it could be framed in two ways, or is for another host.
    """
    size = len(target) + _PER_LINE * len(headers)
    sent = []
    hosts_sent = []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts_sent.append(value)
        elif name in _FRAMING:
            sent.append((name, value))
    check_size(size, settings, lines=len(headers))
    if sent:
        _check_framing(version, sent)
    _check_host(version, hosts_sent, hosts)
    if not target.startswith(b"/"):
        _check_target(target, hosts)


def check_size(size: int, settings: HttpSettings, lines: int = 0) -> None:
    """Check the bytes and lines of a head, or of the part that has arrived.

    Raises:
        HeadersTooLarge: there are too many.
    """
    if size > settings.header_bytes:
        raise HeadersTooLarge(
            f"request line and headers take {size} bytes or more, the limit is "
            f"{settings.header_bytes} (http.header_bytes)"
        )
    if lines > settings.header_count:
        raise HeadersTooLarge(
            f"the request has {lines} headers, the limit is {settings.header_count} "
            "(http.header_count)"
        )


def _check_framing(version: str, sent: list[Header]) -> None:
    if len(sent) > 1:
        raise InvalidRequest(
            "Content-Length and Transfer-Encoding may be sent once, and only one of them"
        )
    ((name, value),) = sent
    if name == b"content-length":
        if not _LENGTH.fullmatch(value):
            raise InvalidRequest("Content-Length must be a number of bytes", param="Content-Length")
    elif version != "1.1" or value.lower() != b"chunked":
        raise InvalidRequest(
            "Transfer-Encoding can only be 'chunked', and only in HTTP/1.1",
            param="Transfer-Encoding",
        )


def _check_host(version: str, sent: list[bytes], hosts: AllowedHosts) -> None:
    if not sent and version == "1.0":
        return
    if len(sent) != 1:
        raise InvalidRequest(
            f"a request has one Host header, this one has {len(sent)}", param="Host"
        )
    _check_allowed(sent[0], hosts)


def _check_target(target: bytes, hosts: AllowedHosts) -> None:
    """Check the target; its absolute form (`http://host/path`) names a host of its own."""
    if target == b"*":
        return
    if not target.lower().startswith((b"http://", b"https://")):
        raise InvalidRequest("the target of a request is a path, as in POST /v1/rerank")
    url = httptools.parse_url(target)
    _check_allowed(url.host or b"", hosts)


def _check_allowed(host: bytes, hosts: AllowedHosts) -> None:
    if hosts.allows(host):
        return
    shown = repr(host[:_SHOWN])[1:]
    if not HOST.fullmatch(host):
        raise InvalidRequest(f"{shown} is not a host", param="Host")
    raise InvalidRequest(
        f"this server does not answer to the host {shown}: use its address, or add the name to "
        "http.allowed_hosts",
        param="Host",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
