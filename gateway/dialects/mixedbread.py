"""Mixedbread's rerank API: `input` in, `data` with `score` out; returned inputs are as they came.

Without `top_k` Mixedbread returns ten results; here all are returned, as in every dialect.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import (
    Details,
    FullUsage,
    full_usage,
    reported_score,
    result_details,
)
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult, Scored


class MixedbreadResult(Details, kw_only=True):
    """One document's score."""

    index: int
    score: float
    input: str | Mapping[str, object] | UnsetType = UNSET
    object: Literal["rank_result"] = "rank_result"


class MixedbreadReply(Struct, kw_only=True):
    """Mixedbread's reply."""

    usage: FullUsage
    model: str
    data: list[MixedbreadResult]
    object: Literal["list"] = "list"
    top_k: int
    return_input: bool


class Mixedbread(SharedErrors):
    """The dialect of Mixedbread's SDK."""

    name = "mixedbread"
    contract = Contract(
        title="Mixedbread",
        required=("query", "input"),
        fields=("top_k", "top_n", "return_input", "rank_fields"),
        reply=MixedbreadReply,
        example={
            "query": "capital of France",
            "input": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_k": 1,
            "return_input": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, documents="input", returns="return_input")

    def render(self, request: RerankRequest, result: RerankResult) -> MixedbreadReply:
        return MixedbreadReply(
            usage=full_usage(result),
            model=result.model,
            data=[_result(request, scored) for scored in result.top],
            top_k=len(result.top),
            return_input=request.return_documents,
        )


def _result(request: RerankRequest, scored: Scored) -> MixedbreadResult:
    document = request.documents[scored.index]
    original = document.text if document.fields is None else document.fields
    return MixedbreadResult(
        index=scored.index,
        score=reported_score(request, scored),
        input=original if request.return_documents else UNSET,
        **result_details(request, scored),
    )


MIXEDBREAD = Mixedbread()
