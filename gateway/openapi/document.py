"""The API as an OpenAPI 3.1 document, made from what runs: the structs, the tables of paths, the errors.

Each dialect's request has the fields of `RerankBody` that it reads; each reply is the schema of the
struct that is sent. Examples are those of the dialects; their replies are rendered from made-up
margins. On shared paths a request is any of the dialects that may be meant there.
"""

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from gateway import __version__
from gateway.dialects import (
    DIALECTS,
    PATHS,
    SIGNALS,
    WITHOUT_EFFECT,
    Dialect,
    ErrorReply,
    Form,
    Limits,
    Place,
    RerankBody,
)
from gateway.dialects.body import Pair
from gateway.dialects.tei import TeiError
from gateway.domain import RerankResult, Scored, rank
from gateway.endpoints import READS, Endpoint, Need
from gateway.errors import ClientError, GatewayError, MethodNotAllowed
from gateway.openapi.schemas import Schema, any_of, schema_components, schema_of, schema_of_request

_DESCRIPTION = (
    "One port, many rerank APIs. Bodies are JSON or MessagePack, both ways. `/models/NAME` before "
    "any rerank path names the model, for the APIs that carry none; NAME may have slashes. Unknown "
    f"fields are ignored; these are known and have no effect: {', '.join(WITHOUT_EFFECT)}."
)
_IDS: Schema = {
    name: {"description": "The id of the request.", "required": True, "schema": {"type": "string"}}
    for name in ("x-request-id", "request-id")
}
_RETRY: Schema = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
}
_WARNING: Schema = {
    "x-gateway-warning": {
        "description": "What the client should know, such as truncated documents.",
        "schema": {"type": "string"},
    }
}
_PAGE: Schema = {"text/html": {"schema": {"type": "string"}}}
_PARAMETERS: list[Schema] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Becomes the id of the request, if it is 1 to 64 of A-Z a-z 0-9 . _ -",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "The deadline, in milliseconds from arrival.",
        "schema": {"type": "integer", "minimum": 1},
    },
]


_KEYS: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, once there are keys."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
_SECURITY: list[Schema] = [{"bearer": []}, {"header": []}, {}]
"""One of the two, or nothing while there are no keys."""


@cache
def document() -> Schema:
    """Return the document; do not change it."""
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
                for path, post in ((path, _rerank(path, place)) for path, place in PATHS.items())
            },
        },
        "components": {
            "schemas": schema_components(),
            "responses": _responses(),
            "securitySchemes": _KEYS,
            "examples": _examples(),
            "parameters": {one["name"]: one for one in _PARAMETERS},
        },
    }


def example_reply(dialect: Dialect) -> Any:
    """Return what the dialect's example is answered, if the last document is the best."""
    body = msgspec.convert(dialect.contract.example, RerankBody)
    request = dialect.parse(body, Limits())
    scored = tuple(
        Scored(index, 2.0 * index - 1, 20, truncated=False)
        for index in range(len(request.documents))
    )
    result = RerankResult(
        id="rerank-1cb2b565fcd947e6bc481e4f9b26e3a9",
        model="embedded-bert",
        scored=scored,
        top=rank(scored, request.top_n),
        processing_seconds=0.0062,
        created=1_795_257_277,
    )
    return msgspec.to_builtins(dialect.render(request, result))


def meant_at(place: Place) -> tuple[Dialect, ...]:
    """Return the dialects of the requests that a path takes, its own first."""
    others = [dialect for dialect, _ in SIGNALS] if place.is_shared else []
    return (place.dialect, *others)


def _rerank(path: str, place: Place) -> Schema:
    """Describe a path that takes rerank requests."""
    dialects = meant_at(place)
    return {
        "operationId": f"post{_words(path)}",
        "summary": f"{place.dialect.contract.title}: score documents against a query.",
        "tags": [place.dialect.contract.title],
        "security": _SECURITY,
        "parameters": [{"$ref": f"#/components/parameters/{one['name']}"} for one in _PARAMETERS],
        "requestBody": {
            "required": True,
            "content": _content(
                any_of(_requests(dialects)),
                {one.name: _example(f"{one.name}_request") for one in dialects},
            ),
        },
        "responses": {
            "200": {
                "description": "The scores.",
                "headers": {**_IDS, **_WARNING},
                "content": _content(
                    any_of([schema_of(one.contract.reply) for one in dialects]),
                    {one.name: _example(f"{one.name}_reply") for one in dialects},
                ),
            },
            **_errors(dialects),
        },
    }


def _requests(dialects: Iterable[Dialect]) -> list[Schema]:
    """Return the requests of dialects; pairs may come as a bare list too."""
    refs = [schema_of_request(dialect) for dialect in dialects]
    if any(dialect.name == "pairs" for dialect in dialects):
        refs.append({"type": "array", "items": schema_of(Pair)})
    return refs


def _example(name: str) -> Schema:
    return {"$ref": f"#/components/examples/{name}"}


def _examples() -> Schema:
    asked = {f"{one.name}_request": {"value": one.contract.example} for one in DIALECTS}
    said = {f"{one.name}_reply": {"value": example_reply(one)} for one in DIALECTS}
    return asked | said


_SHAPES: dict[str, tuple[type, ...]] = {
    "shared": (ErrorReply,),
    "tei": (TeiError,),
    "any": (ErrorReply, TeiError),
}
"""In whose words errors are told: everybody's, TEI's, or, where it may be either, one of them."""


def _errors(dialects: Iterable[Dialect]) -> Schema:
    """Refer to every error in the words of these dialects."""
    kinds = {dialect.contract.error for dialect in dialects}
    name = next(name for name, shapes in _SHAPES.items() if set(shapes) == kinds)
    return {str(status): {"$ref": f"#/components/responses/{name}_{status}"} for status in _codes()}


def _responses() -> Schema:
    """Describe every error in every shape, by shape and status."""
    return {
        f"{name}_{status}": {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}.",
            "headers": {**_IDS, **(_RETRY if status in {429, 503} else {})},
            "content": _content(any_of([schema_of(shape) for shape in shapes])),
        }
        for name, shapes in _SHAPES.items()
        for status, codes in _codes().items()
    }


def _codes() -> dict[int, list[str]]:
    """Return the codes of the errors by their status."""
    codes: dict[int, set[str]] = {}
    for error in _leaves(GatewayError):
        if error is not MethodNotAllowed:  # the paths of the document have their methods
            codes.setdefault(error.status, set()).add(error.code)
    return {status: sorted(codes[status]) for status in sorted(codes)}


def _leaves(kind: type[GatewayError]) -> list[type[GatewayError]]:
    children = kind.__subclasses__()
    own = [kind] if kind not in {GatewayError, ClientError} and "code" in vars(kind) else []
    return own + [leaf for child in children for leaf in _leaves(child)]


def _read(path: str, endpoint: Endpoint) -> Schema:
    """Describe a path that is read."""
    reply: Schema = {
        "headers": _IDS,
        "content": {endpoint.reply: {"schema": {"type": "string"}}}
        if isinstance(endpoint.reply, str)
        else _content(schema_of(endpoint.reply)) | (_PAGE if endpoint.page else {}),
    }
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


def _content(schema: Schema, examples: Schema | None = None) -> Schema:
    media = {"schema": schema, **({"examples": examples} if examples else {})}
    return {form.value: media for form in Form}


def _shown(path: str) -> str:
    return path.replace(":path", "")


def _words(path: str) -> str:
    return _shown(path).replace("/", "_").replace("{", "").replace("}", "").replace(".", "_")
