"""The contract of a dialect: one API's way to say request, result and error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from gateway.dialects.body import RerankBody
from gateway.domain import RerankRequest, RerankResult
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold; set in the configuration.

    Attributes:
        documents: the most documents of one request.
        document_bytes: the most bytes of one document, as UTF-8.
        query_bytes: the most bytes of one query or instruction, as UTF-8.
    """

    documents: int = 10_000
    document_bytes: int = 1_000_000
    query_bytes: int = 100_000


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
    """What the OpenAPI document says of a dialect.

    Attributes:
        title: the API's name.
        required: the fields of `RerankBody` without which there is no request.
        fields: those it reads beside them and beside `SHARED_FIELDS`.
        reply: the type of what `render` returns.
        error: the type of what `render_error` returns.
        example: a request.
    """

    title: str
    required: tuple[str, ...]
    reply: object
    example: Mapping[str, object]
    fields: tuple[str, ...] = ()
    error: type[Struct] = field(default=ErrorReply)


class Dialect(Protocol):
    """One rerank API.

    `parse` raises `InvalidRequest` that names the field and the limit. `render` and `render_error`
    return msgspec structs, lists, dicts, strings and finite numbers for the encoder of the reply;
    `render` raises `EngineFailed` for a score that is not finite.
    """

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> Contract: ...

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest: ...

    def render(self, request: RerankRequest, result: RerankResult) -> object: ...

    def render_error(self, error: GatewayError, request_id: str) -> object: ...


class SharedErrors:
    """Tells errors so that the clients of every API but TEI find the message."""

    def render_error(self, error: GatewayError, request_id: str) -> ErrorReply:
        detail = ErrorDetail(error.message, error.kind, error.param, error.code)
        return ErrorReply(request_id, error.message, error.message, detail)
