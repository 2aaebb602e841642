"""Authentication: the key of a request, the paths that it opens, and its rate limits.

Pure ASGI, in front of everything that reads a body: an unauthenticated request costs its headers
only. The table in `routes` lists what each path requires. Models are checked in `model_access`,
because only the body names the model.

The operator is who comes through its own socket, which needs no key, or with an admin key. While
there are no keys every other request passes; status and metrics are then open to this machine.
"""

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.dialects import ADMIN_PREFIX
from gateway.domain.errors import Forbidden
from gateway.http.keys import Gate, Key
from gateway.http.origin import refuse_changes, require_this_machine
from gateway.http.request_context import RequestContext, context_of
from gateway.http.routes import Need, need_of


class Auth:
    """Middleware that passes the requests whose key is valid for their path."""

    def __init__(self, app: ASGIApp, gate: Gate, *, open_status: bool) -> None:
        self._app = app
        self._gate = gate
        self._open_status = open_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, need = context_of(scope), need_of(scope["method"], scope["path"])
        if need is Need.NOTHING or context.is_operator:
            await self._app(scope, receive, send)
            return
        context.key = self._gate.authenticate(context.headers, context.log_fields)
        if need is Need.ADMIN:
            self._require_operator(context, scope)
        if context.key is not None and context.is_rerank:
            await self._within_limits(context, context.key, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _require_operator(self, context: RequestContext, scope: Scope) -> None:
        """Accept a key of the operator; without keys, only reading on this machine.

        Raises:
            Forbidden: the request may not be the operator's.
        """
        key = context.key
        if key is None and scope["path"].startswith(ADMIN_PREFIX):
            refuse_changes()
        elif key is None:
            require_this_machine(scope, context.headers, open_status=self._open_status)
        elif not key.admin:
            raise Forbidden(
                f"this API key ({key.id}) is not for this: it needs one with admin = true, or the "
                "operator's own socket (admin_socket)"
            )
        else:
            context.is_operator = True

    async def _within_limits(
        self, context: RequestContext, key: Key, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request within the limits of its key, and put what is left in the reply."""
        usage = self._gate.usage(key)
        try:
            usage.enter(key.concurrency, time.monotonic())
        finally:
            context.reply_headers |= usage.headers(time.time())
        try:
            await self._app(scope, receive, send)
        finally:
            usage.leave()
