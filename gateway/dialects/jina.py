"""Jina's rerank API, the one that vLLM, LocalAI, Together and many others copied: the shared API.

Documents are strings or `{"text": ...}` objects; images are refused, as any object without text.
"""

from gateway.dialects.superset import Superset

JINA = Superset("jina", "1")
