"""Cohere's rerank API, v1 and v2.

Both are the shared API with their own version in `meta.api_version`. v1 joins the `rank_fields` of
object documents; v2 takes `max_tokens_per_doc`. What Cohere's v2 refuses (unknown fields, object
documents, `return_documents`) is served here, since adapters such as LiteLLM send it to v2 too.
Cohere cuts documents at 4096 tokens unless told otherwise; here the model's own limit counts.

v1 reads long documents in chunks, at most ten of each unless `max_chunks_per_doc` says otherwise: so
does the path that is v1 alone, whatever the model is configured for. On shared paths only the field
tells.
"""

from msgspec.structs import replace

from gateway.dialects.base import Contract, Limits
from gateway.dialects.body import RerankBody
from gateway.dialects.superset import SHARED_REQUEST, SharedReply, Superset
from gateway.domain import RerankRequest

_MOST_CHUNKS = 10


class _V1(Superset):
    """Cohere's first version, which reads long documents in chunks."""

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        request = super().parse(body, limits)
        if request.long_documents is not None:
            return request
        return replace(request, long_documents="passages", most_passages=_MOST_CHUNKS)


V1 = _V1(
    "cohere_v1",
    "1",
    Contract(
        title="Cohere v1",
        required=("query", "documents"),
        fields=SHARED_REQUEST,
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

V2 = Superset(
    "cohere_v2",
    "2",
    Contract(
        title="Cohere v2",
        required=("query", "documents"),
        fields=SHARED_REQUEST,
        reply=SharedReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "max_tokens_per_doc": 4096,
        },
    ),
)
