"""Jina's rerank API, the one that vLLM, LocalAI, Together and many others copied: the shared API.

Documents are strings or `{"text": ...}` objects; images are refused, as any object without text.
"""

from gateway.dialects.base import Contract
from gateway.dialects.superset import SHARED_REQUEST, SharedReply, Superset

JINA = Superset(
    "jina",
    "1",
    Contract(
        title="Jina, and the shared form",
        required=("query", "documents"),
        fields=SHARED_REQUEST,
        reply=SharedReply,
        example={
            "query": "capital of France",
            "documents": [{"text": "Berlin is in Germany."}, {"text": "Paris is in France."}],
            "top_n": 1,
            "return_documents": True,
        },
    ),
)
