"""The client of `gateway.client` whose requests go to a model of this process.

Candidates, parts of long lists, boosts and results are the client's; the body of a request is read
as the server reads it, so that limits, messages and warnings are the same.
"""

import time

from gateway.client.asynchronous import AsyncClient
from gateway.client.errors import ClientError, error_class
from gateway.client.wire import Details, Reply, Scored
from gateway.dialects import PATHS, Limits, MediaType, parse_body
from gateway.domain import request as domain
from gateway.domain.errors import GatewayError
from gateway.local.local_model import LocalModel

_PATH = PATHS["/v1/rerank"]


class LocalClient(AsyncClient):
    """A client without connections."""

    def __init__(self, model: LocalModel, limits: Limits, timeout_seconds: float) -> None:
        super().__init__(timeout=timeout_seconds, part_documents=limits.documents)
        self._url = f"model {model.name!r}"  # names the target in errors
        self._local = model
        self._limits = limits

    async def _send(self, body: bytes, *, documents: int, deadline: float) -> Reply:
        """Score a request; raises `ClientError`."""
        try:
            request = parse_body(body, MediaType.JSON, _PATH, self._limits, lambda dialect: None)
            result = await self._local.rerank(request, deadline - time.monotonic())
        except GatewayError as error:
            raise client_error(error) from None
        return Reply(
            scored=tuple(_scored(request, each) for each in result.top),
            model=result.model,
            tokens=result.tokens,
            request_ids=(result.id,),
            warnings=result.warnings,
        )


def client_error(error: GatewayError) -> ClientError:
    """Return the client's exception for an error of the gateway, with its cause.

    The caller is the operator as well, and has no log that names the cause.
    """
    return error_class(error.status, error.code)(
        error.cause or error.message,
        code=error.code,
        retry_after_seconds=error.retry_after_seconds,
    )


def _scored(request: domain.RerankRequest, scored: domain.Scored) -> Scored:
    details = None
    if request.return_details:
        whole = None if scored.truncated else (0, len(request.documents[scored.index].text))
        details = Details(
            margin=scored.margin,
            tokens=scored.tokens,
            truncated=scored.truncated,
            passages=scored.passages,
            span=scored.span or whole,
            stage=scored.stage,
        )
    return Scored(scored.index, scored.relevance_score, details)
