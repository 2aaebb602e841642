"""llama.cpp's rerank API: Jina's without documents in the reply, and `object` is `list`.

llama-server shows raw logits for many models; here scores are in [0, 1] unless `raw_scores` asks
otherwise, as everywhere.
"""

from typing import Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import Details, Usage, details, shown_score, usage
from gateway.domain import RerankRequest, RerankResult


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
        fields=("top_n",),
        reply=LlamaReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return read_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> LlamaReply:
        return LlamaReply(
            model=result.model,
            usage=usage(result),
            results=[
                LlamaResult(one.index, shown_score(request, one), **details(request, one))
                for one in result.top
            ],
        )


LLAMACPP = Llama()
