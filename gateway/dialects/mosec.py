"""The API of MOSEC's example of a reranker: `query` and `docs` in, `scores` in input order out."""

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import Details, details_in_order, scores_in_order
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult


class MosecReply(Struct):
    """One score per document, in input order; `details`, with `return_details`, likewise."""

    scores: list[float]
    details: list[Details] | UnsetType = UNSET


class Mosec(SharedErrors):
    """The dialect of MOSEC's servers of rerankers."""

    name = "mosec"
    contract = Contract(
        title="MOSEC",
        required=("query", "docs"),
        reply=MosecReply,
        example={
            "query": "capital of France",
            "docs": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, documents="docs")

    def render(self, request: RerankRequest, result: RerankResult) -> MosecReply:
        return MosecReply(scores_in_order(request, result), details_in_order(request, result))


MOSEC = Mosec()
