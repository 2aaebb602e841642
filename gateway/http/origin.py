"""The origin of a request without a key: this machine itself, as far as that can be known.

An address shows nothing: a proxy on this machine has a loopback address, too, and may hide that it
passes on a request of others. So no origin makes a client the operator. It only opens status and
metrics, for reading, and `http.open_status` closes these as well.
"""

import ipaddress
from collections.abc import Mapping

from starlette.types import Scope

from gateway.domain.errors import Forbidden

_PROXY_AND_BROWSER_HEADERS = (
    "origin",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
_REMEDY = (
    "use the operator's socket, as `gateway status`, `gateway reload` and `gateway drain` do, or "
    "an API key with admin = true"
)


def refuse_changes() -> None:
    """Refuse a change of what is served without a key.

    Raises:
        Forbidden: always.
    """
    raise Forbidden(f"this is for the operator only: {_REMEDY}")


def require_this_machine(scope: Scope, headers: Mapping[str, str], *, open_status: bool) -> None:
    """Accept a request to read status or metrics that comes from this machine itself.

    Raises:
        Forbidden: it comes, or may come, from another client, or `http.open_status` is false.
    """
    problem = _problem(scope, headers) if open_status else "http.open_status is false"
    if problem:
        raise Forbidden(f"this is for the operator only ({problem}): {_REMEDY}")


def _problem(scope: Scope, headers: Mapping[str, str]) -> str:
    peer = scope["client"][0] if scope.get("client") else ""
    if not _is_loopback(peer):
        return "without a key it can be read on the gateway's own machine only"
    if not _is_local(headers.get("host", "")):
        return "the request was sent to another host name than 127.0.0.1"
    if scope["http_version"] == "1.0":  # nginx sends it, and by default no header that shows nginx
        return "the request is HTTP/1.0, as proxies send it"
    foreign = [name for name in _PROXY_AND_BROWSER_HEADERS if name in headers]
    return f"the request has the header {foreign[0]}" if foreign else ""


def _is_local(host: str) -> bool:
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # an IPv4 peer of a dual-stack socket
    return (mapped or found).is_loopback
