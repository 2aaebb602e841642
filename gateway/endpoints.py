"""What can be read from a gateway (GET): the table of paths beside the rerank APIs, and its replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

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


class Need(Enum):
    """What must be shown at a path, once there are keys."""

    NOTHING = auto()
    KEY = auto()
    ADMIN = auto()


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
        needs: what must be shown, once there are keys.
    """

    operation: str
    summary: str
    reply: object
    statuses: tuple[int, ...] = (200,)
    query: Mapping[str, str] | None = None
    page: bool = False
    needs: Need = Need.KEY


_MODELS = Endpoint("models", "The models, as OpenAI lists them.", ModelList)
_INFO = Endpoint("info", "The model, as text-embeddings-inference describes it.", TeiInfo)
_HEALTH = Endpoint(
    "health", "How well the gateway does.", HealthReport, (200, 503), needs=Need.NOTHING
)

READS: dict[str, Endpoint] = {
    "/": Endpoint(
        "index",
        "A list of the endpoints; for browsers a page.",
        Index,
        page=True,
        needs=Need.NOTHING,
    ),
    "/web/{name}": Endpoint(
        "web", "A file of the page at `/`.", "*/*", (200, 404), needs=Need.NOTHING
    ),
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
    "/livez": Endpoint("livez", "Whether the process answers.", Alive, needs=Need.NOTHING),
    "/readyz": Endpoint(
        "readyz",
        "Whether requests should come.",
        ReadyReport,
        (200, 404, 503),
        {"model": "The model that matters; all if it is missing."},
        needs=Need.NOTHING,
    ),
    "/health": _HEALTH,
    "/tei/health": _HEALTH,
    "/status": Endpoint(
        "status", "Everything, as `gateway status` shows it.", GatewayStatus, needs=Need.ADMIN
    ),
    "/metrics": Endpoint("metrics", "Prometheus, or OpenMetrics.", "text/plain", needs=Need.ADMIN),
    "/openapi.json": Endpoint(
        "openapi", "This API, as OpenAPI 3.1.", dict[str, object], needs=Need.NOTHING
    ),
    "/docs": Endpoint("docs", "This API, for people.", "text/html", needs=Need.NOTHING),
}
"""Where it is read (GET), in the order in which paths are tried."""

ADMIN_PREFIX = "/admin/"
"""Below it lies what changes what is served."""


_OPEN_FOLDERS = tuple(
    path.partition("{")[0]
    for path, endpoint in READS.items()
    if "{" in path and endpoint.needs is Need.NOTHING
)


def need_of(method: str, path: str) -> Need:
    """Return what must be shown for a request, once there are keys; unknown paths need a key, too."""
    if path.startswith(ADMIN_PREFIX):
        return Need.ADMIN
    if method not in {"GET", "HEAD"}:
        return Need.KEY
    if path.startswith(_OPEN_FOLDERS):
        return Need.NOTHING
    return READS[path].needs if path in READS else Need.KEY
