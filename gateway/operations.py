"""The endpoints for people and machines that watch: models, health, status, metrics."""

import time
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway import __version__, health
from gateway.access import meant, reachable, resolve
from gateway.api import Api
from gateway.call import call_of
from gateway.dialects import PATHS, prefers_page
from gateway.dialects.openai import ModelCard, ModelList
from gateway.dialects.tei import RERANKER, TeiInfo
from gateway.endpoints import READS, Alive, HealthReport, Index, ReadyReport
from gateway.errors import NotFound
from gateway.openapi import document, page
from gateway.reload import Reloads
from gateway.replies import reply
from gateway.status import GatewayStatus, ModelStatus, SplitStatus
from gateway.web import PAGE, WebFile, web_files

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Our names, and those of text-embeddings-inference."""

_SHOWN_NAME = 100


class Operations:
    """What can be asked about a gateway, beside scores."""

    def __init__(self, api: Api, reloads: Reloads) -> None:
        self._api = api
        self._reloads = reloads
        self._fleet = api.fleet

    async def models(self, request: Request) -> Response:
        """List the models as OpenAI does."""
        names = reachable(self._fleet, call_of(request.scope).key)
        cards = [self._card(model) for model in self._fleet.status() if model.name in names]
        splits = [self._split_card(*one) for one in self._splits_of_key(request)]
        return reply(request.scope, ModelList(data=[*cards, *splits]))

    async def model(self, request: Request) -> Response:
        """Describe one model, by its name or an alias; names may have slashes."""
        name = request.path_params["name"]
        for split, models in self._splits_of_key(request):
            if split.name == name:
                return reply(request.scope, self._split_card(split, models))
        return reply(request.scope, self._card(self._model_of_key(request, name)))

    async def livez(self, request: Request) -> Response:
        """Say that this process answers."""
        return reply(request.scope, Alive(True))

    async def readyz(self, request: Request) -> Response:
        """Say whether to send requests here, for all models or for `?model=NAME`."""
        name = request.query_params.get("model")
        models = self._fleet.status()
        if name is not None:
            names = meant(self._fleet, None, name)
            models = tuple(model for model in models if model.name in names)
        verdict = health.readiness(models, stopping=self._api.leaving or self._api.stopping)
        states = {model.name: model.state for model in models}
        report = ReadyReport(verdict.ready, verdict.reasons, states)
        return reply(request.scope, report, 200 if verdict.ready else 503)

    async def health(self, request: Request) -> Response:
        """Say how well the gateway does; 503 when nothing can score."""
        models = self._fleet.status()
        report = msgspec.convert(
            {
                **health.health_report(models, stopping=self._api.leaving or self._api.stopping),
                "version": __version__,
                "uptime_seconds": self._uptime_seconds(),
            },
            HealthReport,
        )
        scores = health.health(models) in {"ok", "degraded"}
        return reply(request.scope, report, 200 if scores else 503)

    async def status(self, request: Request) -> Response:
        """Say everything: what `gateway status` shows."""
        status = GatewayStatus(
            version=__version__,
            uptime_seconds=self._uptime_seconds(),
            models=self._fleet.status(),
            reload=self._reloads.status(),
            keys=self._api.gate.status(),
            splits=self._fleet.splits_status(),
            shadows=self._api.shadows.status(),
        )
        return reply(request.scope, status)

    async def metrics(self, request: Request) -> Response:
        """Give Prometheus its numbers."""
        body, content_type = self._api.metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def index(self, request: Request) -> Response:
        """Show the page to a browser, and name the endpoints to everyone else."""
        if prefers_page(request.headers.get("accept", "")):
            return _file(request, web_files()[PAGE], {"vary": "accept"})
        index = Index(
            name="rerank-gateway",
            version=__version__,
            docs="/docs",
            openapi="/openapi.json",
            rerank=[f"POST {path}" for path in PATHS],
            read=[f"GET {path.replace(':path', '')}" for path in READS],
        )
        return reply(request.scope, index, headers={"vary": "accept"})

    async def web(self, request: Request) -> Response:
        """Give a file of the page."""
        name = request.path_params["name"]
        if name not in web_files():
            raise NotFound(f"there is no file {name[:_SHOWN_NAME]!r} of the page at GET /")
        return _file(request, web_files()[name])

    async def info(self, request: Request) -> Response:
        """Describe a model as text-embeddings-inference does; the default one if none is named."""
        status = self._model_of_key(request, request.path_params.get("name"))
        limits = self._api.limits
        info = TeiInfo(
            model_id=status.name,
            model_dtype=_DTYPES.get(status.shards[0].dtype, status.shards[0].dtype),
            served_model_name=status.name,
            model_type=RERANKER,
            max_concurrent_requests=self._api.connections,
            max_input_length=status.max_length,
            max_batch_tokens=self._fleet.model(status.name).token_budget,
            max_client_batch_size=limits.documents,
            tokenization_workers=len(status.shards),
            version=__version__,
        )
        return reply(request.scope, info)

    async def openapi(self, request: Request) -> Response:
        """Describe the API to programs."""
        return reply(request.scope, document())

    async def docs(self, request: Request) -> Response:
        """Describe the API to people."""
        return HTMLResponse(
            page(),
            headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )

    def _model_of_key(self, request: Request, name: str | None) -> ModelStatus:
        return self._model_status(resolve(self._fleet, call_of(request.scope).key, name))

    def _model_status(self, name: str | None) -> ModelStatus:
        public = self._fleet.resolve(name)
        return next(model for model in self._fleet.status() if model.name == public)

    def _card(self, model: ModelStatus) -> ModelCard:
        return ModelCard(
            id=model.name,
            created=self._api.created,
            state=model.state,
            default=model.default,
            aliases=model.aliases,
            demonstration=model.demonstration,
            max_model_len=model.max_length or UNSET,  # not known before a shard has loaded it
            weights=model.weights or UNSET,
            calibrated=model.calibration.made if model.calibration else UNSET,
        )

    def _splits_of_key(self, request: Request) -> Iterator[tuple[SplitStatus, list[ModelStatus]]]:
        """Yield the splits of which a key may use a model, each with those models."""
        names = reachable(self._fleet, call_of(request.scope).key)
        for split in self._fleet.splits_status():
            dealt = {one.model for one in split.models}
            if dealt & set(names):
                yield (
                    split,
                    [
                        one
                        for one in self._fleet.status()
                        if one.name in names and one.name in dealt
                    ],
                )

    def _split_card(self, split: SplitStatus, models: Sequence[ModelStatus]) -> ModelCard:
        return ModelCard(
            id=split.name,
            created=self._api.created,
            state=health.state(models),
            default=split.default,
            aliases=(),
            demonstration=any(model.demonstration for model in models),
            max_model_len=min(model.max_length for model in models) or UNSET,
            split={
                model.name: one.share
                for model in models
                for one in split.models
                if one.model == model.name
            },
        )

    def _uptime_seconds(self) -> float:
        return round(time.monotonic() - self._api.started, 3)


def _file(request: Request, file: WebFile, headers: dict[str, str] | None = None) -> Response:
    """Send a file, or say that the browser has it."""
    sent = {**file.headers, **(headers or {})}
    if file.is_known_to(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=sent)
    return Response(file.content, headers=sent)
