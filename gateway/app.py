"""The composition root: settings in, a gateway that serves them out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route
from starlette.types import Scope

from gateway.admin import Admin
from gateway.api import Api
from gateway.auth import Auth
from gateway.config import ConfigError, Problem, Settings, model_specs, split_specs
from gateway.dialects import Limits, place_of
from gateway.endpoints import READS
from gateway.fleet import Fleet
from gateway.keys import Gate, keys_of
from gateway.metrics import Metrics
from gateway.middleware import BodyLimit, Errors, Observe, RequestId
from gateway.operations import Operations
from gateway.policy import FleetPolicy
from gateway.reload import Reloads, Renewal
from gateway.replies import error_reply, on_http_error
from gateway.reranker import Reranker
from gateway.shadows import Shadows
from gateway.tracing import Tracing, TracingUnavailable

_SENT_BY_SCRIPTS = (
    "Authorization", "X-API-Key", "api-key", "Content-Type", "X-Request-Id", "X-Request-Timeout-Ms",
)  # fmt: skip
_READ_BY_SCRIPTS = (
    "x-request-id", "retry-after", "x-gateway-warning", "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
)  # fmt: skip


def create_app(settings: Settings, read: Callable[[], Settings] | None = None) -> Starlette:
    """Return the whole gateway as an ASGI application; its shards start with the lifespan.

    A reload serves what `read` returns, in a thread of its own; without it `settings` once more.

    Raises:
        ConfigError: the file of keys is not fit to be used, or tracing is wanted and not installed.
    """
    api = _api(settings)
    reloads = Reloads(api.fleet, settings, read or (lambda: settings), api.metrics)
    reloads.renewed.append(partial(_new_keys, api.gate))
    app = Starlette(
        routes=_routes(api, reloads),
        middleware=[
            Middleware(RequestId),
            Middleware(Observe, finished=api.request_finished),
            *_cors(settings),
            Middleware(Errors, render=error_reply),
            Middleware(Auth, gate=api.gate),
            Middleware(BodyLimit, limit_bytes=settings.limits.body_bytes),
        ],
        exception_handlers={HTTPException: on_http_error},
        lifespan=_lifespan(api, reloads),
    )
    app.router.redirect_slashes = False  # a redirect would lose the body in many clients
    app.state.api = api
    app.state.reloads = reloads
    return app


def _api(settings: Settings) -> Api:
    metrics = Metrics()
    fleet = Fleet(
        model_specs(settings), FleetPolicy.of(settings), metrics, splits=split_specs(settings)
    )
    metrics.watch(fleet.status)
    shadows = Shadows(fleet, metrics)
    metrics.watch_shadows(shadows.status)
    keys = keys_of(settings)
    return Api(
        fleet=fleet,
        reranker=Reranker(fleet, shadows),
        shadows=shadows,
        metrics=metrics,
        limits=Limits(
            documents=settings.limits.documents,
            document_bytes=settings.limits.document_bytes,
            query_bytes=settings.limits.query_bytes,
        ),
        gate=Gate(metrics, keys.ring if keys else None),
        tracing=_tracing() if settings.tracing else None,
        default_timeout_seconds=settings.default_timeout_seconds,
        max_timeout_seconds=settings.max_timeout_seconds,
        connections=settings.http.connections,
    )


def _cors(settings: Settings) -> list[Middleware]:
    """Let scripts of other origins ask, if there are any; they show a key, never a cookie."""
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=_SENT_BY_SCRIPTS,
            expose_headers=_READ_BY_SCRIPTS,
        )
    ]


def _new_keys(gate: Gate, settings: Settings) -> Renewal:
    """Renew the keys; that none is asked for any more is no business of a reload."""
    keys = keys_of(settings)
    if keys is not None:
        return Renewal(partial(gate.rotate, keys.ring), keys.warnings)
    dropped = "keys_file is gone: the keys stay in force until the gateway is started again"
    return Renewal(lambda: None, () if gate.is_open else (dropped,))


def _tracing() -> Tracing:
    try:
        return Tracing.from_environment()
    except TracingUnavailable as error:
        remedy = "Or set tracing = false"
        raise ConfigError([Problem(path=("tracing",), message=str(error), remedy=remedy)]) from None


class _RerankRoute(Route):
    """All rerank paths: found in the table of dialects, not by one expression each."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or place_of(scope["path"]) is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] == "POST" else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": {}}


def _routes(api: Api, reloads: Reloads) -> list[Route]:
    see = Operations(api, reloads)
    admin = Admin(api.fleet, reloads)
    return [
        _RerankRoute("/rerank", api.rerank, methods=["POST"]),
        *(Route(path, getattr(see, endpoint.operation)) for path, endpoint in READS.items()),
        Route("/admin/reload", admin.reload, methods=["POST"]),
        Route("/admin/drain", admin.drain, methods=["POST"]),
    ]


def _lifespan(
    api: Api, reloads: Reloads
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Run the shards while the app runs; the server has let requests finish before the end."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await api.fleet.start()
        reloading = asyncio.create_task(reloads.run(), name="reloads")
        try:
            yield
        finally:
            api.stopping = True
            reloading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reloading
            await api.shadows.stop()
            await api.fleet.stop()
            if api.tracing is not None:
                await asyncio.to_thread(api.tracing.close)

    return lifespan
