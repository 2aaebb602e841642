"""ZeroEntropy's rerank API: Cohere's results, with times, bytes and tokens beside them.

`latency` has no effect: every request is served at once or refused.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.field_parsers import utf8_bytes
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class ZeroEntropyResult(Details):
    """One document's score."""

    index: int
    relevance_score: float


class ZeroEntropyReply(Struct, kw_only=True):
    """ZeroEntropy's reply; latencies in seconds."""

    results: list[ZeroEntropyResult]
    actual_latency_mode: Literal["fast"] = "fast"
    e2e_latency: float
    inference_latency: float
    total_bytes: int
    total_tokens: int


class ZeroEntropy(SharedErrors):
    """The dialect of ZeroEntropy's SDK."""

    name = "zeroentropy"
    contract = Contract(
        title="ZeroEntropy",
        required=("query", "documents"),
        fields=("top_n", "top_k", "rank_fields"),
        reply=ZeroEntropyReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> ZeroEntropyReply:
        seconds = round(result.processing_seconds, 6)
        texts = (*request.queries, *[document.text for document in request.documents])
        return ZeroEntropyReply(
            results=[
                ZeroEntropyResult(
                    scored.index,
                    reported_score(request, scored),
                    **result_details(request, scored),
                )
                for scored in result.top
            ],
            e2e_latency=seconds,
            inference_latency=seconds,
            total_bytes=sum(map(utf8_bytes, texts)),
            total_tokens=result.tokens,
        )


ZEROENTROPY = ZeroEntropy()
