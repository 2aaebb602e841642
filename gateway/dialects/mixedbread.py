"""Mixedbread's rerank API: `input` in, `data` with `score` out; returned inputs are as they came.

Where its `top_k` is missing Mixedbread returns ten, and we return all, as everywhere.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import Details, FullUsage, details, full_usage, shown_score
from gateway.domain import RerankRequest, RerankResult, Scored


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
        fields=("top_k", "return_input", "rank_fields"),
        reply=MixedbreadReply,
        example={
            "query": "capital of France",
            "input": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_k": 1,
            "return_input": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return read_request(body, limits, documents="input", returns="return_input")

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
    sent = document.text if document.fields is None else document.fields
    return MixedbreadResult(
        index=scored.index,
        score=shown_score(request, scored),
        input=sent if request.return_documents else UNSET,
        **details(request, scored),
    )


MIXEDBREAD = Mixedbread()
