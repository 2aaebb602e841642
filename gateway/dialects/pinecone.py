"""Pinecone's rerank API: `data` with `score`; documents come back unless that is declined.

Its clients call `/rerank` as many others do, and are known by the header with the version of their
API. Options are in `parameters`.
"""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.reply_fields import (
    Details,
    document_object,
    reported_score,
    result_details,
)
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.dialects.status_names import status_name
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult, Scored

VERSION_HEADER = "x-pinecone-api-version"
"""The header of every request of Pinecone's clients, in lower case."""


class PineconeResult(Details):
    """One document's score."""

    index: int
    score: float
    document: Mapping[str, object] | UnsetType = UNSET


class PineconeUsage(Struct):
    """Pinecone's unit of billing."""

    rerank_units: int


class PineconeReply(Struct):
    """Pinecone's reply."""

    model: str
    data: list[PineconeResult]
    usage: PineconeUsage


class PineconeErrorDetail(Struct):
    """The code of an error, and its message."""

    code: str
    message: str


class PineconeError(Struct):
    """Pinecone's error."""

    error: PineconeErrorDetail
    status: int


class Pinecone:
    """The dialect of Pinecone's SDKs."""

    name = "pinecone"
    contract = Contract(
        title="Pinecone",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        nested={"parameters": ()},
        reply=PineconeReply,
        error=PineconeError,
        example={
            "query": "capital of France",
            "documents": [
                {"id": "a", "text": "Berlin is the capital of Germany."},
                {"id": "b", "text": "Paris is the capital of France."},
            ],
            "rank_fields": ["text"],
            "top_n": 1,
            "return_documents": True,
            "parameters": {"truncate": "END"},
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, returns_by_default=True)

    def render(self, request: RerankRequest, result: RerankResult) -> PineconeReply:
        return PineconeReply(
            result.model,
            [_result(request, scored) for scored in result.top],
            PineconeUsage(result.search_units),
        )

    def render_error(self, error: GatewayError, request_id: str) -> PineconeError:
        return PineconeError(PineconeErrorDetail(status_name(error), error.message), error.status)


def _result(request: RerankRequest, scored: Scored) -> PineconeResult:
    document = request.documents[scored.index]
    return PineconeResult(
        scored.index,
        reported_score(request, scored),
        document_object(document) if request.return_documents else UNSET,
        **result_details(request, scored),
    )


PINECONE = Pinecone()
