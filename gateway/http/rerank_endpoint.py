"""The endpoint of every API of scores, and of vectors.

It takes a request through deadline, early refusal, media type, dialect, model, scores and reply. It
raises every error; `middleware.Errors` answers with it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, get_args

from msgspec.structs import replace
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import OnDeadline
from gateway.dialects import (
    ENCODERS,
    MESSAGEPACK_STARTS,
    Limits,
    MediaType,
    RerankPath,
    VectorDialect,
    parse_body,
    reply_media_type,
    reply_parts,
    request_media_type,
)
from gateway.domain.errors import InvalidRequest, RequestTimeout, ShuttingDown
from gateway.domain.request import ANONYMOUS, Caller, RerankRequest, RerankResult
from gateway.http.large_bodies import LARGE_BYTES, LargeBodies
from gateway.http.model_access import Candidates, Route, choose, reachable, resolve
from gateway.http.parted_reply import PartedReply
from gateway.http.request_context import BODY_COMPLETE, RequestContext, context_of
from gateway.http.vector_models import encoding_candidates
from gateway.serving.cascade import Score
from gateway.serving.fallback import Fallbacks
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.score_cache import NO_USE, CacheUse
from gateway.serving.text_encoder import TextEncoder
from gateway.telemetry.metrics import Metrics

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_TIMEOUT_HEADER = TIMEOUT_HEADER.lower()
ON_DEADLINE_HEADER = "X-On-Deadline"
_ON_DEADLINE_HEADER = ON_DEADLINE_HEADER.lower()
_LONGEST_TIMEOUT_DIGITS = 12
_LATE_REPLY_SECONDS = 5.0

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class RerankEndpoint:
    """The endpoint of every rerank path.

    Attributes:
        default_timeout_seconds: how long a request may take when it sets no timeout.
        max_timeout_seconds: the longest timeout of a request; a longer one counts as this.
        is_stopping: returns true once new requests are to be refused.
    """

    fleet: Fleet
    reranker: Reranker
    encoder: TextEncoder
    metrics: Metrics
    limits: Limits
    default_timeout_seconds: float
    max_timeout_seconds: float
    is_stopping: Callable[[], bool]
    _bodies: LargeBodies = field(default_factory=LargeBodies)
    _fallbacks: Fallbacks = field(init=False)

    def __post_init__(self) -> None:
        self._fallbacks = Fallbacks(self.fleet, self.reranker, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a rerank request of any dialect."""
        context = context_of(scope)
        if self.is_stopping():
            raise ShuttingDown("the gateway is stopping: try again soon", retry_after_seconds=5)
        deadline = context.started + self._timeout_seconds(context.headers)
        caller = Caller(context.key.id, context.key.weight) if context.key else ANONYMOUS
        candidates = self._candidates_by_path(context)
        for names in candidates.stages if candidates else (reachable(self.fleet, context.key),):
            if not self._cache_may_answer(names):
                self.fleet.refuse_unread(names, caller, deadline - time.monotonic())
        media_type = request_media_type(context.headers.get("content-type", ""))
        raw = await _read(scope, receive, deadline)
        if "content-type" not in context.headers and raw[:1] in MESSAGEPACK_STARTS:
            media_type = MediaType.MSGPACK
        size = len(raw)
        parsing = partial(_parse, context, raw, media_type, self.limits)
        del raw
        request = await self.work_on_body(size, deadline, parsing)
        del parsing  # the bytes are needed no longer
        route = self._route(context, request, candidates)
        on_deadline = _on_deadline(context.headers)
        how: dict[str, Any] = {"request_id": context.request_id, "deadline": deadline}
        how |= {"caller": caller, "timeline": context.timeline}
        if request.encoding is not None:
            scoring = self.encoder.encode(request, model=route.model, note=route.note, **how)
        else:
            use = _use_of_cache(context)
            score = partial(self._fallbacks.rerank, use=use, on_deadline=on_deadline, **how)
            scoring = self._scoring(request, route, score, deadline, on_deadline)
        result = await _unless_client_leaves(context, scoring)
        context.documents, context.tokens = len(result.scored), result.tokens
        context.result = result
        if result.degraded:
            context.log_fields["degraded"] = ", ".join(result.degraded)
        rendering = partial(_render, context, request, result, media_type)
        # A partial result is there at the deadline only, and waits for its turn after it.
        latest = time.monotonic() + _LATE_REPLY_SECONDS if result.degraded else deadline
        answer = await self.work_on_body(size, max(deadline, latest), rendering)
        await answer(scope, receive, send)

    async def _scoring(
        self,
        request: RerankRequest,
        route: Route,
        score: Score,
        deadline: float,
        on_deadline: OnDeadline | None,
    ) -> RerankResult:
        """Return the result of a model, or of a cascade; count the documents of its stages."""
        if route.cascade is None:
            return await score(request, model=route.model, note=route.note)
        result = await route.cascade.rerank(
            request, score, deadline=deadline, on_deadline=on_deadline, note=route.note
        )
        stages = Counter(scored.stage for scored in result.scored)
        self.fleet.cascaded.update({(route.name, stage): n for stage, n in stages.items()})
        for stage, documents in stages.items():
            self.metrics.cascaded(route.name, stage, documents)
        return result

    async def work_on_body(self, size: int, deadline: float, work: Callable[[], T]) -> T:
        """Return the result of work on a body of so many bytes, in a thread if these are many."""
        if size < LARGE_BYTES:
            return work()
        return await self._bodies.run(deadline - time.monotonic(), work)

    def _cache_may_answer(self, names: Sequence[str]) -> bool:
        """Return whether kept scores may answer a request that the models have no room for."""
        cache = self.reranker.cache
        return bool(cache.entries) and any(cache.serves(self.fleet.model(name)) for name in names)

    def _candidates_by_path(self, context: RequestContext) -> Candidates | None:
        """Return the models that the path names; `None` where the body names one, or none."""
        if context.rerank_path is None or context.rerank_path.model is None:
            return None
        return resolve(self.fleet, context.key, context.rerank_path.model)

    def _route(
        self, context: RequestContext, request: RerankRequest, candidates: Candidates | None
    ) -> Route:
        """Choose the model that scores a request, and note both for log, metrics and trace."""
        context.request = request
        # While the body was read, a reload may have removed what the path named.
        if candidates is None or not self.fleet.serves(*candidates.names):
            candidates = resolve(self.fleet, context.key, request.model)
        if request.encoding is not None:
            candidates = encoding_candidates(self.fleet, context.key, candidates, request.model)
        route = choose(
            self.fleet, context.key, candidates, name=request.model, queries=request.queries
        )
        context.model = route.name
        if route.split:
            context.log_fields["split"] = route.split
            self.metrics.request_dealt(route.split, context.model)
        return route

    def _timeout_seconds(self, headers: Mapping[str, str]) -> float:
        text = headers.get(_TIMEOUT_HEADER)
        if text is None:
            return self.default_timeout_seconds
        valid = text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIMEOUT_DIGITS
        if not valid or not int(text):
            raise InvalidRequest(
                f"{TIMEOUT_HEADER} must be a whole number of milliseconds from 1 on; values over "
                f"{self.max_timeout_seconds * 1000:.0f} count as that",
                param=TIMEOUT_HEADER,
            )
        return min(int(text) / 1000, self.max_timeout_seconds)


def _on_deadline(headers: Mapping[str, str]) -> OnDeadline | None:
    """Return what the client chooses for the end of its time; `None` without a choice."""
    text = headers.get(_ON_DEADLINE_HEADER)
    if text is None:
        return None
    for choice in get_args(OnDeadline):
        if text == choice:
            return choice  # type: ignore[no-any-return] # one of the literals
    raise InvalidRequest(
        f"{ON_DEADLINE_HEADER} must be one of: {', '.join(get_args(OnDeadline))}",
        param=ON_DEADLINE_HEADER,
    )


def _use_of_cache(context: RequestContext) -> CacheUse:
    """Return the use of the score cache that the client and its key allow (RFC 9111, 5.2.1)."""
    if context.key is not None and not context.key.score_cache:
        return NO_USE
    asked = context.headers.get("cache-control", "").lower().split(",")
    directives = {directive.strip() for directive in asked}
    if "no-store" in directives:
        return NO_USE
    return CacheUse(reads=not directives & {"no-cache", "max-age=0"})


def _parse(
    context: RequestContext, raw: bytes, media_type: MediaType, limits: Limits
) -> RerankRequest:
    """Return the request of a body, and set its dialect, also of a body that is not valid."""
    assert context.rerank_path is not None  # other paths have other endpoints
    path, found = context.rerank_path, partial(setattr, context, "dialect")
    return _with_model(parse_body(raw, media_type, path, limits, found), path)


def _render(
    context: RequestContext, request: RerankRequest, result: RerankResult, asked: MediaType
) -> ASGIApp:
    """Return the reply, in the format that the client prefers."""
    reply_type = reply_media_type(context.headers.get("accept", ""), asked)
    headers = _warning(result) | _sources(result) | _degraded(result)
    if request.encoding is not None:
        assert isinstance(context.dialect, VectorDialect)
        parts = reply_parts(context.dialect, request, result, reply_type)
        return PartedReply(parts, headers, reply_type.value)
    body = ENCODERS[reply_type](context.dialect.render(request, result))
    return Response(body, headers=headers, media_type=reply_type.value)


def _with_model(request: RerankRequest, path: RerankPath | None) -> RerankRequest:
    """Return the request with the model that its path names, if the path names one."""
    return replace(request, model=path.model) if path and path.model else request


async def _read(scope: Scope, receive: Receive, deadline: float) -> bytes:
    """Return the whole body, if it arrives before the deadline."""
    if BODY_COMPLETE in scope:
        return await _body(receive)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await _body(receive)
    except TimeoutError:
        raise RequestTimeout("the body did not arrive before the request's deadline") from None


async def _body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        ClientDisconnect: the client disconnected before its end.
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
    context: RequestContext, scoring: Coroutine[object, object, RerankResult]
) -> RerankResult:
    """Return the result; cancel the scoring when the client disconnects.

    Raises:
        ClientDisconnect: the client disconnected.
    """
    task, has_left = asyncio.current_task(), False
    assert task is not None

    def cancel() -> None:
        nonlocal has_left
        if not has_left:
            has_left = True
            task.cancel()

    context.cancel = cancel
    try:
        return await scoring
    except asyncio.CancelledError:
        if not has_left:  # the server or the lifespan has cancelled the task
            raise
        task.uncancel()
        raise ClientDisconnect from None
    finally:
        context.cancel = None


def _warning(result: RerankResult) -> dict[str, str]:
    """Return the warnings of a result as a header; not every dialect has a field for them."""
    text = "; ".join(result.warnings)
    return {"x-gateway-warning": text.encode("ascii", "replace").decode()} if text else {}


def _degraded(result: RerankResult) -> dict[str, str]:
    """Return the fallbacks that answered as a header: `MODEL=FALLBACK`."""
    return {"x-gateway-degraded": ", ".join(result.degraded)} if result.degraded else {}


def _sources(result: RerankResult) -> dict[str, str]:
    """Return the number of documents by the source of their score as a header."""
    if not result.sources:
        return {}
    misses = result.sources.get("computed", 0)
    hits = sum(result.sources.values()) - misses
    kinds = sorted(result.sources.keys() - {"computed"})
    others = [f"{source}={result.sources[source]}" for source in kinds]
    found = [f"hits={hits}", f"misses={misses}", *others]
    return {"x-gateway-cache": ", ".join(found)}
