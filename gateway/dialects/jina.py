"""Jina's rerank API, which vLLM, LocalAI, Together and many others copied: the shared API.

Documents are strings or `{"text": ...}` objects; images are rejected, as any object without text.
"""

from gateway.dialects.base import Contract
from gateway.dialects.shared_api import SHARED_REQUEST_FIELDS, SharedDialect, SharedReply

JINA = SharedDialect(
    "jina",
    "1",
    Contract(
        title="Jina, and the shared API",
        required=("query", "documents"),
        fields=SHARED_REQUEST_FIELDS,
        reply=SharedReply,
        example={
            "query": "capital of France",
            "documents": [{"text": "Berlin is in Germany."}, {"text": "Paris is in France."}],
            "top_n": 1,
            "return_documents": True,
        },
    ),
)
