"""The API as an OpenAPI 3.1 document, generated from its structs, tables of paths and errors.

Each dialect's request has the fields of `RerankBody` that it reads; each reply is the schema of the
struct that is sent. Examples are those of the dialects; their replies are rendered from made-up
margins. On a shared path a request may be of any dialect that is served there.
"""

import struct
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from gateway import __version__
from gateway.dialects import (
    ALL_PATHS,
    DIALECTS,
    IGNORED_FIELDS,
    VECTOR_DIALECTS,
    Dialect,
    ErrorReply,
    Limits,
    MediaType,
    RerankPath,
    decode_request,
    encode,
)
from gateway.dialects.request_body import Pair
from gateway.domain.errors import (
    ClientError,
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
)
from gateway.domain.request import RerankResult, Scored
from gateway.http.openapi.schemas import (
    Schema,
    any_of,
    schema_components,
    schema_of,
    schema_of_request,
)
from gateway.http.routes import READS, Endpoint, Need
from gateway.serving.scatter_gather import rank

_DESCRIPTION = (
    "One port, many rerank APIs, and embeddings. Bodies are JSON or MessagePack, both ways. "
    "`/models/NAME` before any such path names the model, for the APIs that carry none; NAME may "
    "have slashes. Fields without effect are ignored, and named in the warnings of the reply; "
    "among them are "
    f"{', '.join(IGNORED_FIELDS)}."
)
_IDS: Schema = {
    name: {"description": "The id of the request.", "required": True, "schema": {"type": "string"}}
    for name in ("x-request-id", "request-id")
}
_RETRY: Schema = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
}
_RESULT: Schema = {
    "x-gateway-warning": {
        "description": "Warnings about the result, such as truncated documents.",
        "schema": {"type": "string"},
    },
    "x-gateway-degraded": {
        "description": "What answered in place of a model: `MODEL=FALLBACK`, or `MODEL=partial`.",
        "schema": {"type": "string"},
    },
    "x-gateway-cache": {
        "description": "Documents by the source of their scores: `hits=3, misses=2, memory=3`.",
        "schema": {"type": "string"},
    },
}
_EXAMPLE_VECTORS = tuple(struct.pack("<3f", *some) for some in ((0.5, -0.5, 0.75), (1, 0, 0)))
_DIALECTS = (*DIALECTS, *VECTOR_DIALECTS)
_PAGE: Schema = {"text/html": {"schema": {"type": "string"}}}
_PARAMETERS: list[Schema] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "The id of the request: 1 to 64 of A-Z a-z 0-9 . _ -",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "The deadline, in milliseconds from arrival.",
        "schema": {"type": "integer", "minimum": 1},
    },
    {
        "name": "X-On-Deadline",
        "in": "header",
        "description": "`partial`: documents without a score at the deadline follow, marked.",
        "schema": {"type": "string", "enum": ["fail", "partial"]},
    },
]
_KEYS: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, if keys are configured."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
_SECURITY: list[Schema] = [{"bearer": []}, {"header": []}, {}]
"""One of the two, or none if no keys are configured."""


@cache
def document() -> Schema:
    """Return the document; callers must not change it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rerank gateway",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            **{_shown(path): {"get": _read(path, endpoint)} for path, endpoint in READS.items()},
            **{
                path: {**({"get": _read(path, READS[path])} if path in READS else {}), "post": post}
                for path, post in (
                    (path, _rerank(path, served)) for path, served in ALL_PATHS.items()
                )
            },
        },
        "components": {
            "schemas": schema_components(),
            "responses": _responses(),
            "securitySchemes": _KEYS,
            "examples": _examples(),
            "parameters": {parameter["name"]: parameter for parameter in _PARAMETERS},
        },
    }


def example_reply(dialect: Dialect) -> Any:
    """Return the reply to the dialect's example, if its last document is the best."""
    raw = encode(dialect.contract.example, MediaType.JSON)
    request = decode_request(raw, MediaType.JSON, RerankPath(dialect)).parse(Limits())
    scored = tuple(
        Scored(index, 2.0 * index - 1, 20, truncated=False)
        for index in range(len(request.documents))
    )
    result = RerankResult(
        id="rerank-1cb2b565fcd947e6bc481e4f9b26e3a9",
        model="embedded",
        scored=scored,
        top=rank(scored, request.top_n),
        processing_seconds=0.0062,
        created=1_795_257_277,
        vectors=_EXAMPLE_VECTORS[: len(request.documents)] if request.encoding else (),
    )
    return msgspec.to_builtins(dialect.render(request, result))


def dialects_at(path: RerankPath) -> tuple[Dialect, ...]:
    """Return the dialects of the requests that a path accepts, its own first."""
    return (path.dialect, *path.signatures.values())


def _rerank(path: str, served: RerankPath) -> Schema:
    """Describe a path that accepts rerank requests."""
    dialects = dialects_at(served)
    return {
        "operationId": f"post{_words(path)}",
        "summary": f"{served.dialect.contract.title}: {_purpose(served.dialect)}.",
        "tags": [served.dialect.contract.title],
        "security": _SECURITY,
        "parameters": [
            {"$ref": f"#/components/parameters/{parameter['name']}"} for parameter in _PARAMETERS
        ],
        "requestBody": {
            "required": True,
            "content": _content(
                any_of(_requests(dialects)),
                {each.name: _example(f"{each.name}_request") for each in dialects},
            ),
        },
        "responses": {
            "200": {
                "description": "The scores, or the vectors.",
                "headers": {**_IDS, **_RESULT},
                "content": _content(
                    any_of([schema_of(each.contract.reply) for each in dialects]),
                    {each.name: _example(f"{each.name}_reply") for each in dialects},
                ),
            },
            **_errors(dialects),
        },
    }


def _purpose(dialect: Dialect) -> str:
    is_of_vectors = dialect in VECTOR_DIALECTS
    return "encode texts" if is_of_vectors else "score documents against a query"


def _requests(dialects: Iterable[Dialect]) -> list[Schema]:
    """Return the requests of dialects; pairs may also be sent as a bare list."""
    refs = [schema_of_request(dialect) for dialect in dialects]
    if any(dialect.name == "pairs" for dialect in dialects):
        refs.append({"type": "array", "items": schema_of(Pair)})
    return refs


def _example(name: str) -> Schema:
    return {"$ref": f"#/components/examples/{name}"}


def _examples() -> Schema:
    requests = {f"{each.name}_request": {"value": each.contract.example} for each in _DIALECTS}
    replies = {f"{each.name}_reply": {"value": example_reply(each)} for each in _DIALECTS}
    return requests | replies


@cache
def _error_formats() -> dict[str, tuple[type, ...]]:
    """Return the formats of errors by name: those that are possible at one path."""
    found = {(ErrorReply,), *(_formats_of(dialects_at(path)) for path in ALL_PATHS.values())}
    return {"_or_".join(struct.__name__ for struct in structs): structs for structs in found}


def _formats_of(dialects: Iterable[Dialect]) -> tuple[type, ...]:
    return tuple(sorted({each.contract.error for each in dialects}, key=lambda kind: kind.__name__))


def _errors(dialects: Iterable[Dialect]) -> Schema:
    """Return references to every error, in the format of these dialects."""
    kinds = _formats_of(dialects)
    name = next(name for name, structs in _error_formats().items() if structs == kinds)
    return {str(status): {"$ref": f"#/components/responses/{name}_{status}"} for status in _codes()}


def _responses() -> Schema:
    """Describe every error in every format, by format and status."""
    return {
        f"{name}_{status}": {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}.",
            "headers": {**_IDS, **(_RETRY if status in {429, 503} else {})},
            "content": _content(any_of([schema_of(struct) for struct in structs])),
        }
        for name, structs in sorted(_error_formats().items())
        for status, codes in _codes().items()
    }


def _codes() -> dict[int, list[str]]:
    """Return the codes of the errors by their status."""
    codes: dict[int, set[str]] = {}
    for error in error_kinds():
        if error is not MethodNotAllowed:  # the paths of the document have their methods
            codes.setdefault(error.status, set()).add(error.code)
    return {status: sorted(codes[status]) for status in sorted(codes)}


def error_kinds(kind: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Return the errors that clients get: those with a code of their own, and two that inherit."""
    has_own = "code" in vars(kind) and kind not in {GatewayError, ClientError}
    own = [kind] if has_own or kind in {InvalidRequest, InternalError} else []
    return own + [error for child in kind.__subclasses__() for error in error_kinds(child)]


def _read(path: str, endpoint: Endpoint) -> Schema:
    """Describe a readable path."""
    reply: Schema = {"headers": _IDS, "content": _content_of(endpoint)}
    error = {"headers": _IDS, "content": _content(schema_of(ErrorReply))}
    names = [("name", "path", "Its name.")] if "{name" in path else []
    names += [(name, "query", text) for name, text in (endpoint.query or {}).items()]
    refusals = () if endpoint.needs is Need.NOTHING else (401, 403)
    return {
        "operationId": f"get{_words(path)}",
        "summary": endpoint.summary,
        "tags": ["Reading"],
        "security": [] if endpoint.needs is Need.NOTHING else _SECURITY,
        "parameters": [
            {
                "name": name,
                "in": where,
                "description": text,
                "required": where == "path",
                "schema": {"type": "string"},
            }
            for name, where, text in names
        ],
        "responses": {
            str(status): {
                "description": HTTPStatus(status).phrase,
                **(error if 400 <= status < 500 else reply),
            }
            for status in sorted({*endpoint.statuses, *refusals})
        },
    }


def _content_of(endpoint: Endpoint) -> Schema:
    """Return the reply of a readable path, by media type."""
    if not isinstance(endpoint.reply, str):
        return _content(schema_of(endpoint.reply)) | (_PAGE if endpoint.page else {})
    json = {} if endpoint.json is None else {MediaType.JSON.value: schema_of(endpoint.json)}
    kinds = {endpoint.reply: {"type": "string"}, **json}
    return {kind: {"schema": schema} for kind, schema in kinds.items()}


def _content(schema: Schema, examples: Schema | None = None) -> Schema:
    media = {"schema": schema, **({"examples": examples} if examples else {})}
    return {media_type.value: media for media_type in MediaType}


def _shown(path: str) -> str:
    return path.replace(":path", "")


def _words(path: str) -> str:
    return _shown(path).replace("/", "_").replace("{", "").replace("}", "").replace(".", "_")
