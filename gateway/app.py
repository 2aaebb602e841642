"""The composition root: settings in, a gateway that serves them out."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Match, Route
from starlette.types import Scope

from gateway.api import Api
from gateway.config import Settings, model_specs
from gateway.dialects import Limits, place_of
from gateway.endpoints import READS
from gateway.fleet import Fleet
from gateway.metrics import Metrics
from gateway.middleware import BodyLimit, Errors, Observe, RequestId
from gateway.operations import Operations
from gateway.policy import FleetPolicy
from gateway.replies import error_reply, on_http_error
from gateway.reranker import Reranker


def create_app(settings: Settings) -> Starlette:
    """Return the whole gateway as an ASGI application; its shards start with the lifespan."""
    api = _api(settings)
    app = Starlette(
        routes=_routes(api),
        middleware=[
            Middleware(RequestId),
            Middleware(Observe, finished=api.request_finished),
            Middleware(Errors, render=error_reply),
            Middleware(BodyLimit, limit_bytes=settings.limits.body_bytes),
        ],
        exception_handlers={HTTPException: on_http_error},
        lifespan=_lifespan(api),
    )
    app.router.redirect_slashes = False  # a redirect would lose the body in many clients
    app.state.api = api
    return app


def _api(settings: Settings) -> Api:
    metrics = Metrics()
    fleet = Fleet(model_specs(settings), FleetPolicy.of(settings), metrics)
    metrics.watch(fleet.status)
    return Api(
        fleet=fleet,
        reranker=Reranker(fleet),
        metrics=metrics,
        limits=Limits(
            documents=settings.limits.documents,
            document_bytes=settings.limits.document_bytes,
            query_bytes=settings.limits.query_bytes,
        ),
        default_timeout_seconds=settings.default_timeout_seconds,
        max_timeout_seconds=settings.max_timeout_seconds,
        connections=settings.http.connections,
    )


class _RerankRoute(Route):
    """All rerank paths: found in the table of dialects, not by one expression each."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or place_of(scope["path"]) is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] == "POST" else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": {}}


def _routes(api: Api) -> list[Route]:
    see = Operations(api)
    return [
        _RerankRoute("/rerank", api.rerank, methods=["POST"]),
        *(Route(path, getattr(see, endpoint.operation)) for path, endpoint in READS.items()),
    ]


def _lifespan(api: Api) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Run the shards while the app runs; the server has let requests finish before the end."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await api.fleet.start()
        try:
            yield
        finally:
            api.stopping = True
            await api.fleet.stop()

    return lifespan
