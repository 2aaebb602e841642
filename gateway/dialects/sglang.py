"""SGLang's rerank API: a bare list, best first, each with its document unless that is declined."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult, Scored


class SglangMeta(Struct):
    """The request, and the tokens of one pair."""

    id: str
    prompt_tokens: int


class SglangResult(Details, kw_only=True):
    """One document's score."""

    score: float
    document: str | UnsetType = UNSET
    index: int
    meta_info: SglangMeta


class SglangError(Struct, kw_only=True):
    """SGLang's error."""

    object: Literal["error"] = "error"
    message: str
    type: str
    param: str | None
    code: int


class Sglang:
    """The dialect of SGLang's server."""

    name = "sglang"
    contract = Contract(
        title="SGLang",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        reply=list[SglangResult],
        error=SglangError,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "instruct": "Find the passage that answers the question",
            "top_n": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, returns_by_default=True)

    def render(self, request: RerankRequest, result: RerankResult) -> list[SglangResult]:
        return [_result(request, scored, result.id) for scored in result.top]

    def render_error(self, error: GatewayError, request_id: str) -> SglangError:
        return SglangError(
            message=error.message, type=error.kind, param=error.param, code=error.status
        )


def _result(request: RerankRequest, scored: Scored, request_id: str) -> SglangResult:
    text = request.documents[scored.index].text if request.return_documents else UNSET
    return SglangResult(
        score=reported_score(request, scored),
        document=text,
        index=scored.index,
        meta_info=SglangMeta(request_id, scored.tokens),
        **result_details(request, scored),
    )


SGLANG = Sglang()
