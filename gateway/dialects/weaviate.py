"""The API of Weaviate's container reranker-transformers, by its module of that name.

`scores` are in input order, as Weaviate matches them with its objects by place. Errors are a string
in `error`. Neither a model nor a key is in the requests.
"""

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.field_parsers import value_or_none
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult


class WeaviateScore(Details):
    """One document, and its score."""

    document: str
    score: float


class WeaviateReply(Struct, omit_defaults=True):
    """The reply: `scores` for documents, `score` for a property."""

    query: str
    scores: list[WeaviateScore] | UnsetType = UNSET
    property: str | UnsetType = UNSET
    score: float | UnsetType = UNSET


class WeaviateError(Struct):
    """The error."""

    error: str


class Weaviate:
    """The dialect of Weaviate's module reranker-transformers."""

    name = "weaviate"
    contract = Contract(
        title="Weaviate",
        required=("query",),
        fields=("documents", "property", "rank_fields"),
        reply=WeaviateReply,
        error=WeaviateError,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "property": "",
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        is_property = not value_or_none(body.documents) and bool(value_or_none(body.property))
        return parse_request(body, limits, documents="property" if is_property else "documents")

    def render(self, request: RerankRequest, result: RerankResult) -> WeaviateReply:
        scores = [
            WeaviateScore(
                request.documents[scored.index].text,
                reported_score(request, scored),
                **result_details(request, scored),
            )
            for scored in result.scored
        ]
        query = request.queries[0]
        if request.documents_field == "property":
            return WeaviateReply(query, property=scores[0].document, score=scores[0].score)
        return WeaviateReply(query, scores)

    def render_error(self, error: GatewayError, request_id: str) -> WeaviateError:
        return WeaviateError(error.message)


WEAVIATE = Weaviate()
