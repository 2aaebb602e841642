"""Cohere's rerank API, v1 and v2.

Both are the shared API with their own version in `meta.api_version`. v1 joins the `rank_fields` of
object documents; v2 takes `max_tokens_per_doc`. What Cohere's v2 refuses (unknown fields, object
documents, `return_documents`) is served here, since adapters such as LiteLLM send it to v2 too.
Cohere cuts documents at 4096 tokens unless told otherwise; here the model's own limit counts.
"""

from gateway.dialects.base import Contract
from gateway.dialects.superset import SHARED_REQUEST, SharedReply, Superset

V1 = Superset(
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
