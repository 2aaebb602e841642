"""The contract of a dialect: one API's way to say request, result and error."""

from dataclasses import dataclass
from typing import Protocol

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


class Dialect(Protocol):
    """One rerank API.

    `parse` raises `InvalidRequest` that names the field and the limit. `render` and `render_error`
    return plain lists, dicts, strings and finite numbers for the encoder of the reply; `render`
    raises `EngineFailed` for a score that is not finite.
    """

    @property
    def name(self) -> str: ...

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest: ...

    def render(self, request: RerankRequest, result: RerankResult) -> object: ...

    def render_error(self, error: GatewayError, request_id: str) -> object: ...
