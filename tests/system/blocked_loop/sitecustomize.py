"""Makes a gateway under test block its event loop at the first request, as a bug might."""

import time

from starlette.types import Receive, Scope, Send

from gateway.http.rerank_endpoint import RerankEndpoint


async def _block(_self: RerankEndpoint, _scope: Scope, _receive: Receive, _send: Send) -> None:
    time.sleep(3600)


# mypy rejects a method that is replaced, which is what this module is for
RerankEndpoint.__call__ = _block  # type: ignore[assignment, method-assign]
