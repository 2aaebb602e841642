"""What can be read from a gateway (GET): the table of paths beside the rerank APIs, and its replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from gateway.dialects.openai import ModelCard, ModelList
from gateway.dialects.tei import TeiInfo
from gateway.status import GatewayStatus


class Alive(Struct):
    """The process answers."""

    alive: bool


class ReadyReport(Struct):
    """Whether requests should come, and what holds them back."""

    ready: bool
    reasons: Sequence[str]
    models: Mapping[str, str]


class ModelHealth(Struct):
    """How one model does; `shards` counts them by state."""

    name: str
    state: str
    queue: int
    outstanding_tokens: int
    shards: Mapping[str, int]


class HealthReport(Struct):
    """How well the gateway does: `ok`, `degraded`, `loading` or `down`."""

    status: str
    stopping: bool
    queue: int
    shards: Mapping[str, int]
    models: Sequence[ModelHealth]
    version: str
    uptime_seconds: float


class Index(Struct):
    """The endpoints."""

    name: str
    version: str
    docs: str
    openapi: str
    rerank: Sequence[str]
    read: Sequence[str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing to read.

    Attributes:
        operation: the method of `gateway.operations.Operations` that answers.
        summary: what it says.
        reply: the type of the reply; a media type where it is no JSON.
        statuses: what may come; those from 400 on are errors, but for 503, which has the reply.
        query: names and meanings of parameters.
        page: whether browsers, which ask for `text/html`, are given the page in place of the reply.
    """

    operation: str
    summary: str
    reply: object
    statuses: tuple[int, ...] = (200,)
    query: Mapping[str, str] | None = None
    page: bool = False


_MODELS = Endpoint("models", "The models, as OpenAI lists them.", ModelList)
_INFO = Endpoint("info", "The model, as text-embeddings-inference describes it.", TeiInfo)
_HEALTH = Endpoint("health", "How well the gateway does.", HealthReport, (200, 503))

READS: dict[str, Endpoint] = {
    "/": Endpoint("index", "A list of the endpoints; for browsers a page.", Index, page=True),
    "/web/{name}": Endpoint("web", "A file of the page at `/`.", "*/*", (200, 404)),
    "/v1/models": _MODELS,
    "/models": _MODELS,
    "/infinity/models": _MODELS,
    "/llamacpp/v1/models": _MODELS,
    "/vllm/v1/models": _MODELS,
    "/v1/models/{name:path}": Endpoint(
        "model", "One model, by name or alias; names may have slashes.", ModelCard, (200, 404)
    ),
    "/info": _INFO,
    "/tei/info": _INFO,
    "/models/{name:path}/info": Endpoint("info", _INFO.summary, TeiInfo, (200, 404)),
    "/livez": Endpoint("livez", "Whether the process answers.", Alive),
    "/readyz": Endpoint(
        "readyz",
        "Whether requests should come.",
        ReadyReport,
        (200, 404, 503),
        {"model": "The model that matters; all if it is missing."},
    ),
    "/health": _HEALTH,
    "/tei/health": _HEALTH,
    "/status": Endpoint("status", "Everything, as `gateway status` shows it.", GatewayStatus),
    "/metrics": Endpoint("metrics", "Prometheus, or OpenMetrics.", "text/plain"),
    "/openapi.json": Endpoint("openapi", "This API, as OpenAPI 3.1.", dict[str, object]),
    "/docs": Endpoint("docs", "This API, for people.", "text/html"),
}
"""Where it is read (GET), in the order in which paths are tried."""
