"""The table of paths that can be read (GET), beside the rerank APIs, and their replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects import ADMIN_PREFIX, squeezed
from gateway.dialects.openai import ClusterAuth, ModelCard, ModelList
from gateway.dialects.tei import TeiInfo
from gateway.telemetry.request_figures import Figures
from gateway.telemetry.status import GatewayStatus


class Alive(Struct):
    """The reply of `/livez`: the process answers."""

    alive: bool


class Version(Struct):
    """The reply of `/version`."""

    version: str


class ReadyReport(Struct):
    """The reply of `/readyz`: readiness, and the reasons against it."""

    ready: bool
    reasons: Sequence[str]
    models: Mapping[str, str]


class ModelHealth(Struct):
    """The health of one model; `shards` counts its shards by state."""

    name: str
    state: str
    queue: int
    outstanding_tokens: int
    shards: Mapping[str, int]


class HealthReport(Struct):
    """The reply of `/health`; its status is `ok`, `degraded`, `loading` or `down`.

    `unix` is what infinity answers, the time in seconds; `error` and `error_type` are what
    text-embeddings-inference answers when it cannot score.
    """

    status: str
    stopping: bool
    queue: int
    shards: Mapping[str, int]
    models: Sequence[ModelHealth]
    version: str
    uptime_seconds: float
    unix: float
    error: str | UnsetType = UNSET
    error_type: str | UnsetType = UNSET


class Index(Struct):
    """The reply of `/`: the list of endpoints."""

    name: str
    version: str
    docs: str
    openapi: str
    rerank: Sequence[str]
    embeddings: Sequence[str]
    read: Sequence[str]


class Need(Enum):
    """The credentials that a path requires, once there are keys."""

    NOTHING = auto()
    KEY = auto()
    ADMIN = auto()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One readable path.

    Attributes:
        operation: the method of `gateway.http.read_endpoints.ReadEndpoints` that answers.
        summary: its description in the OpenAPI document.
        reply: the type of the reply; a media type where the reply is not JSON.
        json: the type of the reply to a client that prefers JSON, where `reply` is a media type.
        statuses: its HTTP statuses; 400 and above are errors, except 503, which has the reply.
        query: the query parameters and their descriptions.
        page: true if a browser, which asks for `text/html`, gets the page instead of the reply.
        needs: the credentials that it requires, once there are keys.
    """

    operation: str
    summary: str
    reply: object
    statuses: tuple[int, ...] = (200,)
    json: object = None
    query: Mapping[str, str] | None = None
    page: bool = False
    needs: Need = Need.KEY


_MODELS = Endpoint("models", "The models, as OpenAI lists them.", ModelList)
_INFO = Endpoint("info", "The model, as text-embeddings-inference describes it.", TeiInfo)
_LIVE = Endpoint("livez", "Liveness: the process answers.", Alive, needs=Need.NOTHING)
_READY = Endpoint(
    "readyz", "Readiness: requests can be sent.", ReadyReport, (200, 503), needs=Need.NOTHING
)
_HEALTH = Endpoint(
    "health", "The health of the gateway.", HealthReport, (200, 503), needs=Need.NOTHING
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
    "/v1/cluster/auth": Endpoint(
        "cluster_auth",
        "Whether requests need a key, for Xinference's client.",
        ClusterAuth,
        needs=Need.NOTHING,
    ),
    "/info": _INFO,
    "/tei/info": _INFO,
    "/models/{name:path}/info": Endpoint("info", _INFO.summary, TeiInfo, (200, 404)),
    "/livez": _LIVE,
    "/readyz": Endpoint(
        "readyz",
        "Readiness: requests can be sent.",
        ReadyReport,
        (200, 404, 503),
        query={"model": "The model to check; all models if it is missing."},
        needs=Need.NOTHING,
    ),
    "/health": _HEALTH,
    "/tei/health": _HEALTH,
    "/weaviate/.well-known/live": _LIVE,
    "/weaviate/.well-known/ready": _READY,
    "/weaviate/meta": Endpoint("meta", "The default model, for Weaviate.", ModelCard),
    "/healthz": _HEALTH,
    "/ping": _HEALTH,
    "/v1/health/live": _LIVE,
    "/v1/health/ready": _READY,
    "/version": Endpoint("version", "The version of the gateway.", Version, needs=Need.NOTHING),
    "/status": Endpoint(
        "status",
        "The full status, as `gateway status` shows it.",
        GatewayStatus,
        (200, 400, 404),
        query={
            "history": "`hour` or `day`: the requests in steps of 10 s, or of a minute, as well.",
            "model": "The name of which the history is shown; all requests if it is missing.",
        },
        needs=Need.ADMIN,
    ),
    "/metrics": Endpoint(
        "metrics",
        "Metrics, for Prometheus or OpenMetrics; as JSON the figures of requests by model.",
        "text/plain",
        json=Figures,
        needs=Need.ADMIN,
    ),
    "/openapi.json": Endpoint(
        "openapi", "This API, as OpenAPI 3.1.", dict[str, object], needs=Need.NOTHING
    ),
    "/docs": Endpoint("docs", "This API, for people.", "text/html", needs=Need.NOTHING),
}
"""Readable paths (GET), in the order in which the router tries them."""

_OPEN_FOLDERS = tuple(
    path.partition("{")[0]
    for path, endpoint in READS.items()
    if "{" in path and endpoint.needs is Need.NOTHING
)


_BEHIND_PREFIXES = {
    path: endpoint
    for path, endpoint in READS.items()
    if endpoint.needs is Need.KEY and "{" not in path
}
_WEAVIATE = "/weaviate/"
_LONGEST_READ = max(map(len, _BEHIND_PREFIXES))
_ONE_MODEL, _INFO_OF_MODEL, _MODELS_FOLDER = "/v1/models/", "/info", "/models/"
PROBES = frozenset(
    path
    for path, endpoint in READS.items()
    if endpoint.operation in {"livez", "readyz", "health", "status", "metrics"}
)
"""Paths that are polled every few seconds."""


def read_path(path: str) -> str:
    """Return the path of the table that a path to be read means; an unknown path unchanged.

    A slash at the end does not count, and several before a name count as one. Several at the end
    stand for a name that is missing: such a path is unknown. Models are found behind any prefix, as
    rerank paths are. The operator's paths have this one spelling, so that a rule of a proxy for
    them holds.
    """
    if path in READS or not path.startswith("/") or (path.endswith("//") and path.strip("/")):
        return path
    plain = squeezed(path)
    if plain in READS and READS[plain].needs is not Need.ADMIN:
        return plain
    if plain.startswith((ADMIN_PREFIX, *_OPEN_FOLDERS)):
        return path
    return _behind_prefix(plain) or path


def _behind_prefix(path: str) -> str:
    """Return the path of the models at the end of a path; empty if there is none."""
    _, found, name = path.partition(_ONE_MODEL)
    if found:
        return _ONE_MODEL + name
    if path.endswith(_INFO_OF_MODEL) and _MODELS_FOLDER in path[: -len(_INFO_OF_MODEL)]:
        return _MODELS_FOLDER + path.partition(_MODELS_FOLDER)[2]
    if (start := path.find(_WEAVIATE)) > 0 and path[start:] in READS:
        return path[start:]  # Weaviate's container has probes beside its endpoint
    start = path.find("/", max(1, len(path) - _LONGEST_READ))
    while start > 0:
        if path[start:] in _BEHIND_PREFIXES and _MODELS_FOLDER not in path[:start] + "/":
            return path[start:]
        start = path.find("/", start + 1)
    return ""


def need_of(method: str, path: str) -> Need:
    """Return the credentials that a request requires; an unknown path requires a key, too.

    The path is that of the table, from `read_path`, by which the router finds the endpoint, too.
    """
    if path.startswith(ADMIN_PREFIX):
        return Need.ADMIN
    if method not in {"GET", "HEAD"}:
        return Need.KEY
    if path.startswith(_OPEN_FOLDERS):
        return Need.NOTHING
    return READS[path].needs if path in READS else Need.KEY
