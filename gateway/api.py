"""The one endpoint of all rerank APIs.

`rerank` is the whole way of a request on this side of the shards: form, dialect, deadline, scores,
reply. It raises what goes wrong; `middleware.Errors` answers.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from gateway.access import Route, meant, reachable, route
from gateway.call import WHOLE, Call, call_of
from gateway.dialects import (
    Form,
    Limits,
    Place,
    RerankBody,
    decode,
    request_form,
    sent_keys,
)
from gateway.domain import ANYONE, Caller, RerankRequest, RerankResult
from gateway.errors import InvalidRequest, RequestTimeout, ShuttingDown
from gateway.fleet import Fleet
from gateway.keys import Gate
from gateway.metrics import Metrics
from gateway.replies import reply
from gateway.reranker import Reranker
from gateway.shadows import Shadows
from gateway.tracing import Tracing

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_TIMEOUT_HEADER = TIMEOUT_HEADER.lower()
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

    async def rerank(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of any dialect."""
        call = call_of(scope)
        if self.stopping:
            raise ShuttingDown("the gateway is stopping: try again soon", retry_after_seconds=5)
        deadline = call.started + self._timeout_seconds(call.sent)
        caller = Caller(call.key.id, call.key.weight) if call.key else ANYONE
        self.fleet.refuse_unread(self._meant(call), caller, deadline - time.monotonic())
        form = request_form(call.sent.get("content-type", ""))
        body = _decode(call, await _read(scope, receive, deadline), form)
        asked = _with_model(call.dialect.parse(body, self.limits), call.place)
        to = self._route(call, asked)
        scoring = self.reranker.rerank(
            asked,
            model=to.model,
            request_id=call.request_id,
            deadline=deadline,
            caller=caller,
            timeline=call.timeline,
            note=to.note,
        )
        result = await _unless_client_leaves(call, scoring)
        call.documents, call.tokens = len(result.scored), result.tokens
        answer = reply(scope, call.dialect.render(asked, result), headers=_notes(result))
        await answer(scope, receive, send)

    def _meant(self, call: Call) -> tuple[str, ...]:
        """Return the models that a request may mean, as far as its path tells."""
        if call.place is None or call.place.model is None:
            return reachable(self.fleet, call.key)
        return meant(self.fleet, call.key, call.place.model)

    def _route(self, call: Call, asked: RerankRequest) -> Route:
        """Find the model that scores a request, and note it."""
        to = route(self.fleet, call.key, asked)
        call.model = to.model
        if to.split:
            call.notes["split"] = to.split
            self.metrics.request_dealt(to.split, to.model)
        return to

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

    def _timeout_seconds(self, sent: Mapping[str, str]) -> float:
        text = sent.get(_TIMEOUT_HEADER)
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


def _decode(call: Call, raw: bytes, form: Form) -> RerankBody:
    """Read a body, and find out the dialect even if it is wrong."""
    assert call.place is not None  # or it would not have come here
    try:
        body = decode(raw, form)
    except InvalidRequest:
        call.dialect = call.place.dialect_for(sent_keys(raw, form))
        raise
    call.dialect = call.place.dialect_for(body.keys)
    return body


def _with_model(asked: RerankRequest, place: Place | None) -> RerankRequest:
    """Return the request with the model that its path names, if it does."""
    return replace(asked, model=place.model) if place and place.model else asked


async def _read(scope: Scope, receive: Receive, deadline: float) -> bytes:
    """Read the whole body, if it comes before the deadline."""
    if WHOLE in scope:
        return await _body(receive)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await _body(receive)
    except TimeoutError:
        raise RequestTimeout("the body did not arrive before the request's deadline") from None


async def _body(receive: Receive) -> bytes:
    """Return all that a client sends.

    Raises:
        ClientDisconnect: it leaves before that is whole.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _unless_client_leaves(
    call: Call, scoring: Coroutine[object, object, RerankResult]
) -> RerankResult:
    """Wait for the result; give it up when the client goes away.

    Raises:
        ClientDisconnect: it has.
    """
    task, has_left = asyncio.current_task(), False
    assert task is not None

    def give_up() -> None:
        nonlocal has_left
        if not has_left:
            has_left = True
            task.cancel()

    call.give_up = give_up
    try:
        return await scoring
    except asyncio.CancelledError:
        if not has_left:  # somebody else wants this to end
            raise
        task.uncancel()
        raise ClientDisconnect from None
    finally:
        call.give_up = None


def _notes(result: RerankResult) -> dict[str, str]:
    """What the client should know, for dialects that have no place for it in their reply."""
    text = "; ".join(result.warnings)
    return {"x-gateway-warning": text.encode("ascii", "replace").decode()} if text else {}
