"""Cohere's rerank API, v1 and v2.

Both are the shared API with their own version in `meta.api_version`. v1 joins the `rank_fields` of
object documents; v2 takes `max_tokens_per_doc`. What Cohere's v2 refuses (unknown fields, object
documents, `return_documents`) is served here, since adapters such as LiteLLM send it to v2 too.
Cohere cuts documents at 4096 tokens unless told otherwise; here the model's own limit counts.
"""

from gateway.dialects.superset import Superset

V1 = Superset("cohere_v1", "1")
V2 = Superset("cohere_v2", "2")
