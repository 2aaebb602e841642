"""The interface of a dialect: one API's format of requests, results and errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from gateway.dialects.request_body import SHARED_FIELDS, RerankBody
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request, from the configuration.

    Attributes:
        documents: maximum number of documents in one request.
        document_bytes: maximum size of one document, in bytes of UTF-8.
        query_bytes: maximum size of one query or instruction, in bytes of UTF-8.
        instructions: the instructions that requests may name, by name.
    """

    documents: int = 10_000
    document_bytes: int = 1_000_000
    query_bytes: int = 100_000
    instructions: Mapping[str, str] = field(default_factory=dict)


class ErrorDetail(Struct):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(Struct):
    """The union of Cohere's `message`, Jina's `detail` and OpenAI's `error`."""

    id: str
    message: str
    detail: str
    error: ErrorDetail


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Description of a dialect in the OpenAPI document.

    Attributes:
        title: name of the API.
        required: required fields of `RerankBody`.
        fields: further fields that the dialect reads, beside `shared`.
        reply: return type of `render`.
        error: return type of `render_error`.
        example: an example request.
        nested: objects in the body, and those of the fields that the dialect reads inside them.
        shared: the fields that it reads of those that every rerank API reads.
        hints: remedies for a field of the wrong type, by its name.
        known: every field that the dialect reads, wherever it is.
    """

    title: str
    required: tuple[str, ...]
    reply: object
    example: Mapping[str, object]
    fields: tuple[str, ...] = ()
    error: type[Struct] = field(default=ErrorReply)
    nested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: tuple[str, ...] = SHARED_FIELDS
    hints: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        known = frozenset((*self.required, *self.fields, *self.shared))
        object.__setattr__(self, "known", known)


class Dialect(Protocol):
    """One rerank API.

    `parse` raises `InvalidRequest` with the field and the limit. `render` and `render_error` return
    msgspec structs, lists, dicts, strings and finite numbers for the encoder of the reply. `render`
    raises `EngineFailed` for a score that is not finite.
    """

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> Contract: ...

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest: ...

    def render(self, request: RerankRequest, result: RerankResult) -> object: ...

    def render_error(self, error: GatewayError, request_id: str) -> object: ...


class SharedErrors:
    """Error reply in which the clients of every API but TEI find the message."""

    def render_error(self, error: GatewayError, request_id: str) -> ErrorReply:
        detail = ErrorDetail(error.message, error.kind, error.param, error.code)
        return ErrorReply(request_id, error.message, error.message, detail)
