"""Cohere's rerank API, v1 and v2.

Both are the shared API with their own version in `meta.api_version`. v1 joins the `rank_fields` of
object documents; v2 takes `max_tokens_per_doc`. Fields that Cohere's v2 rejects (unknown fields,
object documents, `return_documents`) are accepted here, since adapters such as LiteLLM send them to
v2 too. Cohere cuts documents at 4096 tokens by default; here the model's own limit counts.

v1 reads long documents in chunks, by default at most ten of each (`max_chunks_per_doc`). So does
the path that is v1 alone, whatever the model's configuration. On shared paths the field decides.
"""

from msgspec.structs import replace

from gateway.dialects.base import Contract, Limits
from gateway.dialects.request_body import RerankBody
from gateway.dialects.shared_api import SHARED_REQUEST_FIELDS, SharedDialect, SharedReply
from gateway.domain.request import RerankRequest

_MOST_CHUNKS = 10


class _CohereV1(SharedDialect):
    """Cohere's first version, which reads long documents in chunks."""

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        request = super().parse(body, limits)
        if request.long_documents is not None:
            return request
        return replace(request, long_documents="passages", most_passages=_MOST_CHUNKS)


V1 = _CohereV1(
    "cohere_v1",
    "1",
    Contract(
        title="Cohere v1",
        required=("query", "documents"),
        fields=SHARED_REQUEST_FIELDS,
        reply=SharedReply,
        example={
            "query": "capital of France",
            "documents": [
                {"title": "Berlin", "body": "Berlin is the capital of Germany."},
                {"title": "Paris", "body": "Paris is the capital of France."},
            ],
            "rank_fields": ["title", "body"],
            "max_chunks_per_doc": 10,
            "top_n": 1,
            "return_documents": True,
        },
    ),
)

V2 = SharedDialect(
    "cohere_v2",
    "2",
    Contract(
        title="Cohere v2",
        required=("query", "documents"),
        fields=SHARED_REQUEST_FIELDS,
        reply=SharedReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "max_tokens_per_doc": 4096,
        },
    ),
)
