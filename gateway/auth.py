"""Who may pass: the key of a request, what it is good for here, and how much of it is left.

Pure ASGI, in front of everything that reads a body: a request without a good key costs its headers.
Which path needs what is in the table of `endpoints`; models are the business of `access`, because
only the body says which one is meant. While there are no keys all may pass, and what changes the
gateway looks at where a request comes from (`admin`).

The operator's own socket needs no key: who can open it owns the gateway.
"""

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.call import Call, call_of
from gateway.endpoints import Need, need_of
from gateway.errors import Forbidden
from gateway.keys import Gate, Key


class Auth:
    """Lets requests pass that show what is needed."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call, need = call_of(scope), need_of(scope["method"], scope["path"])
        if need is Need.NOTHING or call.is_operator:
            await self._app(scope, receive, send)
            return
        call.key = self._gate.key_of(call.sent, call.notes)
        if need is Need.ADMIN:
            _refuse_others(call)
        if call.key is not None and call.is_rerank:
            await self._rerank(call, call.key, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _rerank(
        self, call: Call, key: Key, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Count the request in and out, and tell the client what its key has left."""
        usage = self._gate.usage(key)
        try:
            usage.enter(key.concurrency, time.monotonic())
        finally:
            call.headers |= usage.headers(time.time())
        try:
            await self._app(scope, receive, send)
        finally:
            usage.leave()


def _refuse_others(call: Call) -> None:
    """Let an operator pass; without keys, `admin` decides by where a request comes from.

    Raises:
        Forbidden: the key is good, but no operator's.
    """
    if call.key is None:
        return
    if not call.key.admin:
        raise Forbidden(
            f"this API key ({call.key.id}) is not for this: it needs one with admin = true, or the "
            "operator's own socket (admin_socket)"
        )
    call.is_operator = True
