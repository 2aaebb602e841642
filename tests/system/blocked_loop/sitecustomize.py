"""Makes a gateway under test stand still at its first request for scores, as a bug of ours might."""

import time

from starlette.types import Receive, Scope, Send

from gateway.api import Api


async def _block(_self: Api, _scope: Scope, _receive: Receive, _send: Send) -> None:
    time.sleep(3600)


Api.rerank = _block  # type: ignore[assignment, method-assign]
