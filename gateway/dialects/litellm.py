"""LiteLLM's proxy: Cohere's reply without version, and the tokens among the billed units.

Its clients request documents by default; these are objects with `text`.
"""

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import ObjectResult, object_results
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class LiteLlmBilledUnits(Struct):
    """Billed units of LiteLLM."""

    search_units: int
    total_tokens: int


class LiteLlmTokens(Struct):
    """Input and output tokens."""

    input_tokens: int
    output_tokens: int = 0


class LiteLlmMeta(Struct):
    """Metadata of LiteLLM's reply."""

    billed_units: LiteLlmBilledUnits
    tokens: LiteLlmTokens


class LiteLlmReply(Struct):
    """The proxy's reply."""

    id: str
    results: list[ObjectResult]
    meta: LiteLlmMeta


class LiteLlm(SharedErrors):
    """The dialect of LiteLLM's proxy."""

    name = "litellm"
    contract = Contract(
        title="LiteLLM proxy",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        reply=LiteLlmReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "return_documents": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> LiteLlmReply:
        return LiteLlmReply(
            result.id,
            object_results(request, result),
            LiteLlmMeta(
                LiteLlmBilledUnits(result.search_units, result.tokens),
                LiteLlmTokens(result.tokens),
            ),
        )


LITELLM = LiteLlm()
