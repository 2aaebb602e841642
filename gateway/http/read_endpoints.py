"""The endpoints that are read: models, health, status, metrics, and the page."""

import time
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__
from gateway.dialects import PATHS, VECTOR_PATHS, prefers_html, prefers_json
from gateway.dialects.openai import ClusterAuth, ModelCard, ModelList
from gateway.dialects.tei import TeiInfo, reranker
from gateway.domain.errors import NotFound, Unauthorized, UnknownModel
from gateway.http import health
from gateway.http.gateway_state import GatewayState
from gateway.http.history import history_of
from gateway.http.keys.sent import sent_key
from gateway.http.model_access import reachable, resolve
from gateway.http.openapi import document, page
from gateway.http.request_context import context_of
from gateway.http.responses import reply
from gateway.http.routes import READS, Alive, HealthReport, Index, ReadyReport, Version
from gateway.http.vector_models import gives_vectors
from gateway.http.web import PAGE, WebFile, web_file, web_files
from gateway.telemetry.request_figures import Figures
from gateway.telemetry.status import CascadeStatus, GatewayStatus, ModelStatus, SplitStatus

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Names of data types here, and in text-embeddings-inference."""

_SHOWN_NAME = 100


class ReadEndpoints:
    """One method for each `Endpoint` of `routes.READS`."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._fleet = state.fleet

    async def models(self, request: Request) -> Response:
        """List the models, splits and cascades, in the format of OpenAI."""
        names = reachable(self._fleet, context_of(request.scope).key)
        cards = [self._card(model) for model in self._fleet.status() if model.name in names]
        instructions = [f"@{each}" for each in sorted(self._state.limits.instructions)]
        found = ModelList(data=[*cards, *self._cards_of_several(request)])
        found.instructions = instructions or UNSET
        return reply(request.scope, found)

    async def model(self, request: Request) -> Response:
        """Describe one model, split or cascade, by name or alias; names may have slashes."""
        name = request.path_params["name"]
        for card in self._cards_of_several(request):
            if card.id == name:
                return reply(request.scope, card)
        return reply(request.scope, self._card(self._model_of_key(request, name)))

    async def meta(self, request: Request) -> Response:
        """Describe the default model."""
        return reply(request.scope, self._card(self._model_of_key(request, None)))

    async def cluster_auth(self, request: Request) -> Response:
        """Report whether requests need a key, for Xinference's client."""
        return reply(request.scope, ClusterAuth(not self._state.gate.is_open))

    async def livez(self, request: Request) -> Response:
        """Report that this process answers."""
        return reply(request.scope, Alive(True))

    async def version(self, request: Request) -> Response:
        """Report the version of the gateway."""
        return reply(request.scope, Version(__version__))

    async def readyz(self, request: Request) -> Response:
        """Report readiness, of all models or of `?model=NAME`."""
        name, shown = request.query_params.get("model"), self._shown_names(request)
        models, needs_all = self._fleet.status(), False
        if name is not None:
            names = self._names_of_any(name, shown)
            models = tuple(model for model in models if model.name in names)
            needs_all = self._fleet.cascade(name) is not None
        verdict = health.readiness(
            models,
            stopping=self._state.is_ending,
            shown=shown,
            needs_all=needs_all,
            ready_when_idle=self._state.ready_when_idle,
        )
        states = {model.name: model.state for model in models if model.name in shown}
        report = ReadyReport(verdict.ready, verdict.reasons, states)
        return reply(request.scope, report, 200 if verdict.ready else 503)

    async def health(self, request: Request) -> Response:
        """Report the health of the gateway; 503 when no model can score."""
        models = self._fleet.status()
        scores = health.health(models) in {"ok", "degraded"}
        report = msgspec.convert(
            {
                **({} if scores else health.UNHEALTHY),
                "unix": time.time(),
                **health.health_report(
                    models, stopping=self._state.is_ending, shown=self._shown_names(request)
                ),
                "version": __version__,
                "uptime_seconds": self._uptime_seconds(),
            },
            HealthReport,
        )
        return reply(request.scope, report, 200 if scores else 503)

    async def status(self, request: Request) -> Response:
        """Report the full status, as `gateway status` shows it, with a history if it is asked."""
        history = history_of(self._state, request.query_params)
        models = self._fleet.status()
        status = GatewayStatus(
            version=__version__,
            uptime_seconds=self._uptime_seconds(),
            models=models,
            reload=self._state.reloads.status(),
            keys=self._state.gate.status(),
            splits=self._fleet.splits_status(),
            cascades=self._fleet.cascades_status(),
            shadows=self._state.shadows.status(),
            memory=self._fleet.room.status(),
            warnings=self._state.warnings,
            score_cache=self._state.score_cache.status(self._fleet.models),
            figures=self._figures(models),
            history=history,
        )
        return reply(request.scope, status)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics, in the format that the scraper accepts; the figures as JSON."""
        if prefers_json(request.headers.get("accept", "")):
            figures = self._figures(self._fleet.status())
            return reply(request.scope, figures, headers={"vary": "accept"})
        body, content_type = self._state.metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type, "vary": "accept"})

    async def index(self, request: Request) -> Response:
        """Return the page to a browser, and the list of endpoints to other clients."""
        if prefers_html(request.headers.get("accept", "")):
            return _file(request, web_files()[PAGE], {"vary": "accept"})
        index = Index(
            name="rerank-gateway",
            version=__version__,
            docs="/docs",
            openapi="/openapi.json",
            rerank=[f"POST {path}" for path in PATHS],
            embeddings=[f"POST {path}" for path in VECTOR_PATHS],
            read=[f"GET {path.replace(':path', '')}" for path in READS],
        )
        return reply(request.scope, index, headers={"vary": "accept"})

    async def web(self, request: Request) -> Response:
        """Return a file of the page."""
        name = request.path_params["name"]
        if name not in web_files():
            raise NotFound(f"there is no file {name[:_SHOWN_NAME]!r} of the page at GET /")
        return _file(request, web_files()[name])

    async def info(self, request: Request) -> Response:
        """Describe a model, the default if none is named, as text-embeddings-inference does."""
        status = self._model_of_key(request, request.path_params.get("name"))
        limits = self._state.limits
        replicas = self._fleet.model(status.name).replicas
        info = TeiInfo(
            model_id=status.name,
            model_dtype=_DTYPES.get(status.shards[0].dtype, status.shards[0].dtype),
            served_model_name=status.name,
            model_type=reranker(replicas.facts.labels if replicas.facts else ()),
            max_concurrent_requests=self._state.connections,
            max_input_length=status.max_length,
            max_batch_tokens=replicas.token_budget,
            max_client_batch_size=limits.documents,
            tokenization_workers=len(status.shards),
            version=__version__,
        )
        return reply(request.scope, info)

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return reply(request.scope, document())

    async def docs(self, request: Request) -> Response:
        """Return the page that describes the API, with examples to try."""
        return _file(request, web_file(page().encode()))

    def _shown_names(self, request: Request) -> tuple[str, ...]:
        """Return the models that the reply to a request without need of a key may name."""
        context, gate = context_of(request.scope), self._state.gate
        if context.is_operator or gate.is_open:
            return self._fleet.names
        if sent_key(context.headers) is None:
            return ()
        try:
            return reachable(self._fleet, gate.authenticate(context.headers, context.log_fields))
        except Unauthorized:
            return ()

    def _names_of_any(self, name: str, shown: Sequence[str]) -> tuple[str, ...]:
        """Return the models that a name means; the error lists others to those who may use all."""
        try:
            several = self._fleet.split(name) or self._fleet.cascade(name)
            return several.models if several else (self._fleet.resolve(name),)
        except UnknownModel:
            if set(shown) == set(self._fleet.names):
                raise
            raise UnknownModel(
                f"model {name[:_SHOWN_NAME]!r} is not served here", param="model"
            ) from None

    def _model_of_key(self, request: Request, name: str | None) -> ModelStatus:
        """Return the status of the model that a name means to a key; of a split, its first one."""
        public = resolve(self._fleet, context_of(request.scope).key, name).names[0]
        return next(model for model in self._fleet.status() if model.name == public)

    def _card(self, model: ModelStatus) -> ModelCard:
        encodes = gives_vectors(self._fleet, model.name)
        return ModelCard(
            id=model.name,
            model_name=model.name,
            created=self._state.created,
            state=model.state,
            default=model.default,
            aliases=model.aliases,
            demonstration=model.demonstration,
            max_model_len=model.max_length or UNSET,  # unknown until a shard has loaded the model
            model_ability=("rerank", "embed") if encodes else ("rerank",),
            weights=model.weights or UNSET,
            calibrated=model.calibration.made if model.calibration else UNSET,
            clean_text=model.clean_text or UNSET,
        )

    def _splits_of_key(self, request: Request) -> Iterator[tuple[SplitStatus, list[ModelStatus]]]:
        """Yield each split of which the key may use a model, with the models that it may use."""
        names = reachable(self._fleet, context_of(request.scope).key)
        for split in self._fleet.splits_status():
            usable = {member.model for member in split.models} & set(names)
            if usable:
                yield split, [model for model in self._fleet.status() if model.name in usable]

    def _split_card(self, split: SplitStatus, models: Sequence[ModelStatus]) -> ModelCard:
        return ModelCard(
            id=split.name,
            model_name=split.name,
            created=self._state.created,
            state=health.state(models),
            default=split.default,
            aliases=(),
            demonstration=any(model.demonstration for model in models),
            max_model_len=min(model.max_length for model in models) or UNSET,
            split={
                model.name: member.share
                for model in models
                for member in split.models
                if member.model == model.name
            },
        )

    def _cascade_card(self, cascade: CascadeStatus, models: Sequence[ModelStatus]) -> ModelCard:
        return ModelCard(
            id=cascade.name,
            model_name=cascade.name,
            created=self._state.created,
            state=health.cascade_state(models),
            default=cascade.default,
            aliases=(),
            demonstration=any(model.demonstration for model in models),
            max_model_len=min(model.max_length for model in models) or UNSET,
            cascade=(cascade.first, cascade.then),
        )

    def _cards_of_several(self, request: Request) -> Iterator[ModelCard]:
        """Yield the card of each split and cascade that the key may use."""
        for split, models in self._splits_of_key(request):
            yield self._split_card(split, models)
        allowed = reachable(self._fleet, context_of(request.scope).key)
        status = {model.name: model for model in self._fleet.status() if model.name in allowed}
        for cascade in self._fleet.cascades_status():
            if {cascade.first, cascade.then} <= status.keys():
                yield self._cascade_card(cascade, [status[cascade.first], status[cascade.then]])

    def _figures(self, models: Sequence[ModelStatus]) -> Figures:
        return self._state.requests.figures(
            models,
            version=__version__,
            uptime_seconds=self._uptime_seconds(),
            cached_scores=self._state.score_cache.entries,
            now=time.monotonic(),
        )

    def _uptime_seconds(self) -> float:
        return round(time.monotonic() - self._state.started, 3)


def _file(request: Request, file: WebFile, headers: dict[str, str] | None = None) -> Response:
    """Return a file, or 304 if the browser has it."""
    headers = {**file.headers, **(headers or {})}
    if file.is_known_to(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers)
