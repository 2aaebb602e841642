"""The endpoints for people and machines that watch: models, health, status, metrics."""

import time

from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__, health
from gateway.api import Api
from gateway.dialects import PATHS
from gateway.middleware import OPERATIONS
from gateway.reload import Reloads
from gateway.replies import reply
from gateway.status import GatewayStatus, ModelStatus


class Operations:
    """What can be asked about a gateway, beside scores."""

    def __init__(self, api: Api, reloads: Reloads) -> None:
        self._api = api
        self._reloads = reloads
        self._fleet = api.fleet

    async def models(self, request: Request) -> Response:
        """List the models as OpenAI does."""
        cards = [self._card(model) for model in self._fleet.status()]
        return reply(request.scope, {"object": "list", "data": cards})

    async def model(self, request: Request) -> Response:
        """Describe one model, by its name or an alias; names may have slashes."""
        status = self._model_status(request.path_params["name"])
        return reply(request.scope, self._card(status))

    async def livez(self, request: Request) -> Response:
        """Say that this process answers."""
        return reply(request.scope, {"alive": True})

    async def readyz(self, request: Request) -> Response:
        """Say whether to send requests here, for all models or for `?model=NAME`."""
        name = request.query_params.get("model")
        models = self._fleet.status() if name is None else (self._model_status(name),)
        verdict = health.readiness(models, stopping=self._api.stopping)
        states = {model.name: model.state for model in models}
        report = {"ready": verdict.ready, "reasons": verdict.reasons, "models": states}
        return reply(request.scope, report, 200 if verdict.ready else 503)

    async def health(self, request: Request) -> Response:
        """Say how well the gateway does; 503 when nothing can score."""
        models = self._fleet.status()
        report = {
            **health.health_report(models, stopping=self._api.stopping),
            "version": __version__,
            "uptime_seconds": self._uptime_seconds(),
        }
        scores = health.health(models) in {"ok", "degraded"}
        return reply(request.scope, report, 200 if scores else 503)

    async def status(self, request: Request) -> Response:
        """Say everything: what `gateway status` shows."""
        status = GatewayStatus(
            version=__version__,
            uptime_seconds=self._uptime_seconds(),
            models=self._fleet.status(),
            reload=self._reloads.status(),
        )
        return reply(request.scope, status)

    async def metrics(self, request: Request) -> Response:
        """Give Prometheus its numbers."""
        body, content_type = self._api.metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def index(self, request: Request) -> Response:
        """Name the endpoints."""
        report = {
            "name": "rerank-gateway",
            "version": __version__,
            "rerank": [f"POST {path}" for path in PATHS],
            "models": ["GET /v1/models", "GET /v1/models/{name}"],
            "operations": [f"GET /{name}" for name in OPERATIONS],
        }
        return reply(request.scope, report)

    def _model_status(self, name: str) -> ModelStatus:
        public = self._fleet.resolve(name)
        return next(model for model in self._fleet.status() if model.name == public)

    def _card(self, model: ModelStatus) -> dict[str, object]:
        card: dict[str, object] = {
            "id": model.name,
            "object": "model",
            "created": self._api.created,
            "owned_by": "rerank-gateway",
            "state": model.state,
            "default": model.default,
            "aliases": model.aliases,
            "demonstration": model.demonstration,
        }
        if model.max_length:  # not known before a shard has loaded it
            card["max_model_len"] = model.max_length
        return card

    def _uptime_seconds(self) -> float:
        return round(time.monotonic() - self._api.started, 3)
