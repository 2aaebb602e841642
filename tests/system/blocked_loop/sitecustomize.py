"""Makes a gateway under test stand still at its first request for scores, as a bug of ours might."""

import time

from starlette.requests import Request
from starlette.responses import Response

from gateway.api import Api


async def _block(_self: Api, _request: Request) -> Response:
    time.sleep(3600)
    raise AssertionError


Api.rerank = _block  # type: ignore[assignment, method-assign]
