"""Voyage's rerank API: the results are `data`, and their documents are strings.

The shared paths serve the same clients, too: the shared reply has such a `data`.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import TextResult, text_results
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class VoyageUsage(Struct):
    """Input tokens."""

    total_tokens: int


class VoyageReply(Struct, kw_only=True):
    """Voyage's reply."""

    object: Literal["list"] = "list"
    data: list[TextResult]
    model: str
    usage: VoyageUsage


class Voyage(SharedErrors):
    """The dialect of Voyage's SDK."""

    name = "voyage"
    contract = Contract(
        title="Voyage",
        required=("query", "documents"),
        fields=("top_k", "top_n", "return_documents", "rank_fields"),
        reply=VoyageReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_k": 1,
            "return_documents": True,
            "truncation": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> VoyageReply:
        return VoyageReply(
            data=text_results(request, result),
            model=result.model,
            usage=VoyageUsage(result.tokens),
        )


VOYAGE = Voyage()
