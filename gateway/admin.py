"""The endpoints that change what is served: for the operator only.

With keys, and on the operator's own socket, `auth` has decided who that is. Without keys it is decided
by where the question comes from. The peer must be this machine itself; then it must not be a proxy on
this machine that speaks for somebody else (forwarding headers, a `Host` that is not this machine), nor
a web page in a browser on it (`Origin`).
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from gateway.call import call_of
from gateway.errors import Forbidden, InvalidRequest
from gateway.fleet import Fleet
from gateway.reload import Reloads
from gateway.replies import reply

ACCEPTED = 202
_OF_OTHERS = (
    "origin",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)


class Admin:
    """What the operator can ask of a running gateway; `/status` shows how it ends."""

    def __init__(self, fleet: Fleet, reloads: Reloads) -> None:
        self._fleet = fleet
        self._reloads = reloads

    async def reload(self, request: Request) -> Response:
        """Read the configuration again, or start `?model=NAME` anew; the attempt has a number."""
        refuse_others(request)
        attempt = self._reloads.ask(request.query_params.get("model"))
        return reply(request.scope, {"attempt": attempt}, ACCEPTED)

    async def drain(self, request: Request) -> Response:
        """Take `?model=NAME` out of service."""
        refuse_others(request)
        asked = request.query_params.get("model")
        if asked is None:
            raise InvalidRequest("say which model: /admin/drain?model=NAME", param="model")
        name = self._fleet.resolve(asked)
        self._fleet.drain(name)
        state = self._fleet.model(name).status().state
        return reply(request.scope, {"model": name, "state": state}, ACCEPTED)


def refuse_others(request: Request) -> None:
    """Let the operator on this machine pass.

    Raises:
        Forbidden: it is, or may be, somebody else.
    """
    if call_of(request.scope).is_operator:
        return
    peer = request.client.host if request.client else ""
    foreign = [name for name in _OF_OTHERS if name in request.headers]
    if not _is_loopback(peer):
        raise Forbidden("this is for the operator on the gateway's own machine only")
    if not _is_local(request.headers):
        raise Forbidden(
            "this is for the operator only: ask http://127.0.0.1, not another host name"
        )
    if foreign:
        raise Forbidden(
            f"this is for the operator only, not through proxies and browsers: the request has the "
            f"header {foreign[0]}"
        )


def _is_local(headers: Headers) -> bool:
    host = headers.get("host", "")
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # a peer of a socket that speaks both
    return (mapped or found).is_loopback
