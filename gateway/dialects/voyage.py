"""Voyage's rerank API: the results are `data`, and their documents are strings.

The same clients are served by the shared paths too, whose reply has such a `data` for them.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import TextResult, text_results
from gateway.domain import RerankRequest, RerankResult


class VoyageUsage(Struct):
    """Tokens that were read."""

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
        fields=("top_k", "return_documents"),
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
        return read_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> VoyageReply:
        return VoyageReply(
            data=text_results(request, result),
            model=result.model,
            usage=VoyageUsage(result.tokens),
        )


VOYAGE = Voyage()
