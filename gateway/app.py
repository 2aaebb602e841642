"""The composition root: builds a gateway from its settings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import (
    ConfigError,
    Problem,
    Settings,
    cascade_specs,
    model_specs,
    run_abandonable,
    split_specs,
)
from gateway.dialects import match_path
from gateway.http.accounting import request_finished
from gateway.http.admin_endpoints import AdminEndpoints
from gateway.http.auth import Auth
from gateway.http.gateway_state import GatewayState
from gateway.http.history import look_at_jobs
from gateway.http.keys import Gate, keys_of
from gateway.http.middleware import BodyLimit, Errors, Observe
from gateway.http.read_endpoints import ReadEndpoints
from gateway.http.request_context import context_of
from gateway.http.rerank_endpoint import RerankEndpoint
from gateway.http.responses import error_reply, on_http_error
from gateway.http.routes import READS
from gateway.scheduling.memory_check import refuse_too_large
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.serving.reload import Reloads
from gateway.serving.renewals import Renewal
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.building import score_cache_of
from gateway.serving.shadow_traffic import Shadows
from gateway.serving.text_encoder import TextEncoder
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import Tracing, TracingUnavailable

_TRACING_SECONDS = 2.0  # for the last spans to be sent
_CORS_REQUEST_HEADERS = (
    "Authorization",
    "X-API-Key",
    "api-key",
    "Content-Type",
    "X-Request-Id",
    "Cache-Control",
    "X-On-Deadline",
    "X-Request-Timeout-Ms",
)
_CORS_REPLY_HEADERS = (
    "x-request-id",
    "retry-after",
    "x-gateway-warning",
    "x-gateway-cache",
    "x-gateway-degraded",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)


def create_app(settings: Settings, read: Callable[[], Settings] | None = None) -> Starlette:
    """Return the whole gateway as an ASGI application; its shards start with the lifespan.

    A reload calls `read` in a thread and serves the settings that it returns; without `read`, a
    reload serves `settings` again.

    Raises:
        ConfigError: the file of keys cannot be used, a model can never fit into memory, or tracing
            is configured and not installed.
    """
    state = _state(settings, read or (lambda: settings))
    rerank = _rerank_endpoint(state, settings)
    app = Starlette(routes=_routes(state, rerank), lifespan=_lifespan(state))
    app.middleware_stack = _with_middleware(app.router, state, rerank, settings)
    app.router.redirect_slashes = False  # a redirect would lose the body in many clients
    app.state.gateway = state
    return app


def _state(settings: Settings, read: Callable[[], Settings]) -> GatewayState:
    metrics = Metrics()
    specs, policy = model_specs(settings), FleetPolicy.of(settings)
    refuse_too_large(policy.room, specs)
    fleet = Fleet(
        specs,
        policy,
        metrics,
        splits=split_specs(settings),
        cascades=cascade_specs(settings),
    )
    fleet.accepts_any_model = settings.accept_any_model
    metrics.watch(fleet.status)
    metrics.watch_memory(fleet.room.status, fleet.status)
    shadows = Shadows(fleet, metrics)
    score_cache = score_cache_of(settings)
    metrics.watch_shadows(shadows.status)
    metrics.watch_score_cache(lambda: score_cache.status(fleet.models))
    keys = keys_of(settings)
    gate = Gate(metrics, keys.ring if keys else None)
    reloads = Reloads(fleet, settings, read, metrics)
    reloads.keys.renew = partial(_renew_keys, gate)
    return GatewayState(
        fleet=fleet,
        reloads=reloads,
        shadows=shadows,
        score_cache=score_cache,
        gate=gate,
        metrics=metrics,
        limits=settings.request_limits(),
        connections=settings.http.connections,
        tracing=_tracing(settings) if settings.tracing else None,
        ready_when_idle=settings.ready_when_idle,
    )


def _rerank_endpoint(state: GatewayState, settings: Settings) -> RerankEndpoint:
    return RerankEndpoint(
        fleet=state.fleet,
        reranker=Reranker(state.shadows, state.score_cache),
        encoder=TextEncoder(state.shadows),
        metrics=state.metrics,
        limits=state.limits,
        default_timeout_seconds=settings.default_timeout_seconds,
        max_timeout_seconds=settings.max_timeout_seconds,
        is_stopping=lambda: state.stopping,
    )


def _with_middleware(
    router: Router, state: GatewayState, rerank: RerankEndpoint, settings: Settings
) -> ASGIApp:
    """Wrap the endpoints in the middleware, from the inside out; see `middleware`."""
    others = ExceptionMiddleware(router, handlers={HTTPException: on_http_error})
    app: ASGIApp = _Dispatch(rerank, others)
    app = body = BodyLimit(app, limit_bytes=settings.limits.body_bytes)
    state.reloads.renewed.append(partial(_renew_limits, state, rerank, body))
    app = Auth(app, gate=state.gate, open_status=settings.http.open_status)
    app = Errors(app, render=error_reply)
    if settings.cors_origins:
        app = _cors(app, settings.cors_origins)
    return Observe(app, finished=partial(request_finished, state))


class _Dispatch:
    """Passes rerank requests to their endpoint, and all others to the router.

    The router tries one regular expression after another and catches the errors of each endpoint
    twice; `Errors` answers them anyway.
    """

    def __init__(self, rerank: RerankEndpoint, others: ASGIApp) -> None:
        self._rerank = rerank
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and context_of(scope).is_rerank:
            await self._rerank(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def _cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Allow requests from scripts of other origins; they may send a key, never a cookie."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=_CORS_REQUEST_HEADERS,
        expose_headers=_CORS_REPLY_HEADERS,
    )


def _renew_keys(gate: Gate, settings: Settings) -> Renewal:
    """Renew the keys; a reload never turns authentication off."""
    keys = keys_of(settings)
    if keys is not None:
        return Renewal(partial(gate.rotate, keys.ring), keys.warnings)
    dropped = "keys_file is gone: the keys stay in force until the gateway is started again"
    return Renewal(lambda: None, () if gate.is_open else (dropped,))


def _renew_limits(
    state: GatewayState, rerank: RerankEndpoint, body: BodyLimit, settings: Settings
) -> Renewal:
    """Renew the limits of one request; they hold for the requests that arrive from then on."""

    def bring() -> None:
        state.limits = rerank.limits = settings.request_limits()
        body.limit_bytes = settings.limits.body_bytes
        state.fleet.accepts_any_model = settings.accept_any_model

    return Renewal(bring)


def _tracing(settings: Settings) -> Tracing:
    try:
        return Tracing.from_environment(settings.trace_text_characters)
    except TracingUnavailable as error:
        remedy = "Or set tracing = false"
        raise ConfigError([Problem(path=("tracing",), message=str(error), remedy=remedy)]) from None


class _RerankRoute(Route):
    """Every rerank path, for methods other than POST: the router answers them with 405."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or match_path(scope["path"]) is None:
            return Match.NONE, {}
        return Match.PARTIAL, {"endpoint": self.endpoint, "path_params": {}}


def _routes(state: GatewayState, rerank: RerankEndpoint) -> list[Route]:
    reads = ReadEndpoints(state)
    admin = AdminEndpoints(state.fleet, state.reloads, state.score_cache)
    return [
        _RerankRoute("/rerank", rerank, methods=["POST"]),
        *(Route(path, getattr(reads, endpoint.operation)) for path, endpoint in READS.items()),
        Route("/admin/reload", admin.reload, methods=["POST"]),
        Route("/admin/drain", admin.drain, methods=["POST"]),
        Route("/admin/load", admin.load, methods=["POST"]),
        Route("/admin/unload", admin.unload, methods=["POST"]),
        Route("/admin/cache/clear", admin.clear_scores, methods=["POST"]),
    ]


def _lifespan(state: GatewayState) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Run the shards while the app runs; before the end the server has drained all requests."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await state.fleet.start()
        reloading = asyncio.create_task(state.reloads.run(), name="reloads")
        storing = asyncio.create_task(
            state.score_cache.run(lambda: state.fleet.models), name="score stores"
        )
        looking = asyncio.create_task(look_at_jobs(state), name="history")
        try:
            yield
        finally:
            state.stopping = True
            for task in (reloading, storing, looking):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await state.shadows.stop()
            await state.fleet.stop()
            if state.tracing is not None:
                with contextlib.suppress(ConfigError):  # its target does not answer
                    await run_abandonable(state.tracing.close, _TRACING_SECONDS)

    return lifespan
