"""llama.cpp's rerank API: Jina's without documents in the reply, and `object` is `list`.

llama-server returns raw logits for many models; here scores are in [0, 1] without `raw_scores`, as
in every dialect.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import Details, Usage, reported_score, result_details, usage
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class LlamaResult(Details):
    """One document's score."""

    index: int
    relevance_score: float


class LlamaReply(Struct, kw_only=True):
    """llama-server's reply."""

    model: str
    object: Literal["list"] = "list"
    usage: Usage
    results: list[LlamaResult]


class Llama(SharedErrors):
    """The dialect of llama-server."""

    name = "llamacpp"
    contract = Contract(
        title="llama.cpp",
        required=("query", "documents"),
        fields=("top_n", "top_k", "rank_fields"),
        reply=LlamaReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> LlamaReply:
        return LlamaReply(
            model=result.model,
            usage=usage(result),
            results=[
                LlamaResult(
                    scored.index,
                    reported_score(request, scored),
                    **result_details(request, scored),
                )
                for scored in result.top
            ],
        )


LLAMACPP = Llama()
