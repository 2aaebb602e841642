"""The composition root: settings in, a gateway that serves them out."""

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

from gateway.admin import Admin
from gateway.api import Api
from gateway.auth import Auth
from gateway.call import call_of
from gateway.config import ConfigError, Problem, Settings, model_specs, split_specs
from gateway.dialects import Limits, place_of
from gateway.endpoints import READS
from gateway.fleet import Fleet
from gateway.keys import Gate, keys_of
from gateway.metrics import Metrics
from gateway.middleware import BodyLimit, Errors, Observe
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
    app = Starlette(routes=_routes(api, reloads), lifespan=_lifespan(api, reloads))
    app.middleware_stack = _around(app.router, api, settings)
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


def _around(router: Router, api: Api, settings: Settings) -> ASGIApp:
    """Return what every request goes through, from the inside out; see `middleware`."""
    others = ExceptionMiddleware(router, handlers={HTTPException: on_http_error})
    app: ASGIApp = _Paths(api, others)
    app = BodyLimit(app, limit_bytes=settings.limits.body_bytes)
    app = Auth(app, gate=api.gate)
    app = Errors(app, render=error_reply)
    if settings.cors_origins:
        app = _cors(app, settings.cors_origins)
    return Observe(app, finished=api.request_finished)


class _Paths:
    """Sends rerank requests to their one endpoint, and the rest to the router.

    The router looks at one expression after the other and guards each endpoint twice against errors
    that `Errors` answers anyway.
    """

    def __init__(self, api: Api, others: ASGIApp) -> None:
        self._api = api
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and call_of(scope).is_rerank:
            await self._api.rerank(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def _cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let scripts of other origins ask; they show a key, never a cookie."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=_SENT_BY_SCRIPTS,
        expose_headers=_READ_BY_SCRIPTS,
    )


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
    """The rerank paths, for those who do not ask by POST: the router tells them how to."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or place_of(scope["path"]) is None:
            return Match.NONE, {}
        return Match.PARTIAL, {"endpoint": self.endpoint, "path_params": {}}


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
