"""Together's rerank API: Cohere's with `object` and a chat API's usage; documents are objects."""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import FullUsage, ObjectResult, full_usage, object_results
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class TogetherReply(Struct, kw_only=True):
    """Together's reply."""

    id: str
    object: Literal["rerank"] = "rerank"
    model: str
    results: list[ObjectResult]
    usage: FullUsage


class Together(SharedErrors):
    """The dialect of Together's SDK."""

    name = "together"
    contract = Contract(
        title="Together",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        reply=TogetherReply,
        example={
            "query": "capital of France",
            "documents": [{"name": "Berlin", "text": "in Germany"}, {"name": "Paris", "text": ""}],
            "rank_fields": ["name", "text"],
            "return_documents": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> TogetherReply:
        return TogetherReply(
            id=result.id,
            model=result.model,
            results=object_results(request, result),
            usage=full_usage(result),
        )


TOGETHER = Together()
