"""infinity's rerank API: Jina's, but returned documents are strings.

LiteLLM's adapters for infinity and for vLLM send the same bytes, and crash on each other's
documents in replies, so only the prefix distinguishes them.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import TextResult, Usage, text_results, usage
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class InfinityReply(Struct, kw_only=True):
    """infinity's reply."""

    object: Literal["rerank"] = "rerank"
    results: list[TextResult]
    model: str
    usage: Usage
    id: str
    created: int


class Infinity(SharedErrors):
    """The dialect of infinity's clients."""

    name = "infinity"
    contract = Contract(
        title="infinity",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        reply=InfinityReply,
        example={
            "model": "default/not-specified",
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "return_documents": True,
            "raw_scores": False,
            "top_n": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> InfinityReply:
        return InfinityReply(
            results=text_results(request, result),
            model=result.model,
            usage=usage(result),
            id=result.id,
            created=result.created,
        )


INFINITY = Infinity()
