"""The one endpoint of all rerank APIs.

`rerank` is the whole way of a request on this side of the shards: form, dialect, deadline, scores,
reply. It raises what goes wrong; `middleware.Errors` answers.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from gateway.access import meant, reachable, route
from gateway.dialects import (
    Form,
    Limits,
    RerankBody,
    decode,
    dialect_of,
    place_of,
    request_form,
    sent_keys,
)
from gateway.domain import ANYONE, Caller, RerankRequest, RerankResult
from gateway.errors import InvalidRequest, RequestTimeout, ShuttingDown
from gateway.fleet import Fleet
from gateway.keys import Gate
from gateway.metrics import Metrics
from gateway.middleware import Call, call_of
from gateway.replies import reply
from gateway.reranker import Reranker
from gateway.shadows import Shadows
from gateway.tracing import Tracing

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_LONGEST_TIMEOUT_DIGITS = 12


@dataclass(slots=True, kw_only=True)
class Api:
    """The rerank endpoint, and the parts of the gateway that it needs.

    Attributes:
        gate: who is let in.
        tracing: sends spans, where that is wanted.
        default_timeout_seconds: how long a request may take when it does not say.
        max_timeout_seconds: the most it may ask for.
        connections: the most at a time, which `/info` tells.
        leaving: set when the end is near: requests are still taken, but others should be asked.
        stopping: set once no new requests are wanted; those in progress go on.
    """

    fleet: Fleet
    reranker: Reranker
    shadows: Shadows
    metrics: Metrics
    limits: Limits
    gate: Gate
    default_timeout_seconds: float
    max_timeout_seconds: float
    connections: int
    tracing: Tracing | None = None
    leaving: bool = False
    stopping: bool = False
    started: float = field(default_factory=time.monotonic)
    created: int = field(default_factory=lambda: int(time.time()))

    async def rerank(self, request: Request) -> Response:
        """Score a request of any dialect."""
        call = call_of(request.scope)
        if self.stopping:
            raise ShuttingDown("the gateway is stopping: try again soon", retry_after_seconds=5)
        deadline = call.started + self._timeout_seconds(request.headers)
        caller = Caller(call.key.id, call.key.weight) if call.key else ANYONE
        names = self._meant(call, request.scope["path"])
        self.fleet.refuse_unread(names, caller, deadline - time.monotonic())
        form = request_form(request.headers.get("content-type", ""))
        body = _decode(request, await _read(request, deadline), form)
        asked = _with_model(call.dialect.parse(body, self.limits), request.scope["path"])
        to = route(self.fleet, call.key, asked)
        call.model = to.model
        if to.split:
            call.notes["split"] = to.split
            self.metrics.request_dealt(to.split, to.model)
        scoring = self.reranker.rerank(
            asked,
            model=call.model,
            request_id=call.request_id,
            deadline=deadline,
            caller=caller,
            timeline=call.timeline,
            note=to.note,
        )
        result = await _unless_client_leaves(request.receive, scoring)
        call.documents, call.tokens = len(result.scored), result.tokens
        return reply(request.scope, call.dialect.render(asked, result), headers=_notes(result))

    def _meant(self, call: Call, path: str) -> tuple[str, ...]:
        """Return the models that a request may mean, as far as its path tells."""
        place = place_of(path)
        if place is None or place.model is None:
            return reachable(self.fleet, call.key)
        return meant(self.fleet, call.key, place.model)

    def leave(self) -> None:
        """Say from now on that others should be asked."""
        self.leaving = True

    def request_finished(self, call: Call) -> None:
        """Count a rerank request that got its answer."""
        if call.is_rerank:
            self.metrics.request_finished(call.model, call.dialect.name, call.status, call.seconds)
        if call.is_rerank and self.tracing is not None:
            self._trace(self.tracing, call)
        if call.is_rerank and call.key is not None:
            self.gate.finished(call.key, call.status, documents=call.documents, tokens=call.tokens)

    def _trace(self, tracing: Tracing, call: Call) -> None:
        about = {"request_id": call.request_id, "model": call.model, "api": call.dialect.name}
        counts = {"documents": call.documents, "tokens": call.tokens}
        tracing.request_finished(
            started=call.started,
            now=time.monotonic(),
            traceparent=call.trace.header if call.trace else None,
            timeline=call.timeline,
            code=call.status,
            attributes={**about, **counts},
        )

    def _timeout_seconds(self, headers: Headers) -> float:
        text = headers.get(TIMEOUT_HEADER)
        if text is None:
            return self.default_timeout_seconds
        decent = text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIMEOUT_DIGITS
        if not decent or not int(text):
            raise InvalidRequest(
                f"{TIMEOUT_HEADER} must be a whole number of milliseconds from 1 on; values over "
                f"{self.max_timeout_seconds * 1000:.0f} count as that",
                param=TIMEOUT_HEADER,
            )
        return min(int(text) / 1000, self.max_timeout_seconds)


def _decode(request: Request, raw: bytes, form: Form) -> RerankBody:
    """Read a body, and find out the dialect even if it is wrong."""
    call, path = call_of(request.scope), request.scope["path"]
    try:
        body = decode(raw, form)
    except InvalidRequest:
        call.dialect = dialect_of(path, sent_keys(raw, form))
        raise
    call.dialect = dialect_of(path, body.keys)
    return body


def _with_model(asked: RerankRequest, path: str) -> RerankRequest:
    """Return the request with the model that its path names, if it does."""
    place = place_of(path)
    return replace(asked, model=place.model) if place and place.model else asked


async def _read(request: Request, deadline: float) -> bytes:
    """Read the whole body, if it comes before the deadline."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await request.body()
    except TimeoutError:
        raise RequestTimeout("the body did not arrive before the request's deadline") from None


async def _unless_client_leaves(
    receive: Receive, scoring: Coroutine[object, object, RerankResult]
) -> RerankResult:
    """Wait for the result; cancel it when the client goes away."""
    result = asyncio.ensure_future(scoring)
    left = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({result, left}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ClientDisconnect
    finally:
        for waiting in (result, left):
            waiting.cancel()
        await asyncio.gather(result, left, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _notes(result: RerankResult) -> dict[str, str]:
    """What the client should know, for dialects that have no place for it in their reply."""
    text = "; ".join(result.warnings)
    return {"x-gateway-warning": text.encode("ascii", "replace").decode()} if text else {}
