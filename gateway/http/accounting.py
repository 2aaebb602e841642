"""Accounting of a finished request: metrics, figures, history, span, and key."""

import time

from gateway.dialects import VectorDialect
from gateway.http.gateway_state import GatewayState
from gateway.http.request_context import RequestContext
from gateway.telemetry.span_attributes import (
    Attributes,
    embedding_attributes,
    rerank_attributes,
    texts,
)
from gateway.telemetry.tracing import Tracing

_FAILURE = 400


def request_finished(state: GatewayState, context: RequestContext) -> None:
    """Count a request for scores or vectors, however it ended; other requests are not counted."""
    if not context.is_rerank:
        return
    state.metrics.request_finished(
        context.model, context.dialect.name, context.status, context.seconds
    )
    now = time.monotonic()
    state.requests.add(
        context.model,
        context.status,
        wait=context.timeline.longest_wait_seconds,
        work=context.timeline.compute_seconds,
        total=context.seconds,
        now=now,
    )
    state.history.add(
        context.model,
        context.status,
        documents=context.documents,
        tokens=context.tokens,
        seconds=context.seconds,
        now=now,
    )
    if state.tracing is not None:
        _trace(state.tracing, context)
    if context.key is not None:
        state.gate.finished(
            context.key, context.status, documents=context.documents, tokens=context.tokens
        )


def _trace(tracing: Tracing, context: RequestContext) -> None:
    conventional = _conventional(context)
    tracing.request_finished(
        name=str(conventional["gen_ai.operation.name"]),
        started=context.started,
        now=time.monotonic(),
        traceparent=context.trace.header if context.trace else None,
        timeline=context.timeline,
        code=context.status,
        attributes={
            "request_id": context.request_id,
            "model": context.model,
            "api": context.dialect.name,
            "documents": context.documents,
            "tokens": context.tokens,
            **conventional,
            **texts(context.request, context.result, tracing.text_characters),
        },
    )


def _conventional(context: RequestContext) -> Attributes:
    """Return the attributes by convention; the path alone decides on those of a refused request."""
    model, tokens = context.model, context.tokens
    error = str(context.status) if context.status >= _FAILURE else ""
    request, result = context.request, context.result
    if isinstance(context.dialect, VectorDialect):
        return embedding_attributes(
            model=model,
            tokens=tokens,
            encoding=request.encoding if request else None,
            width=len(result.vectors[0]) // 4 if result and result.vectors else 0,
            error=error,
        )
    top_n = request.top_n if request else None
    return rerank_attributes(model=model, tokens=tokens, top_n=top_n, error=error)
