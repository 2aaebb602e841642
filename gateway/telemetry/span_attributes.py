"""Attributes of a request's span in the words of OpenTelemetry and of OpenInference. Pure.

OpenTelemetry's conventions for generative AI have an operation for embeddings, and none for
reranking yet: `rerank` is the name that is proposed for it. OpenInference has a kind of span for
both. Texts of a request are apart: `texts`, on demand alone.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.domain.request import Document, Encoding, RerankRequest, RerankResult

Attributes: TypeAlias = Mapping[str, str | int | float | Sequence[str]]
"""Attributes of a span, by name."""

_PROVIDER = "rerank-gateway"
_MOST_DOCUMENTS = 20  # OpenTelemetry's SDK drops the attributes of a span beyond the 128th


def rerank_attributes(*, model: str, tokens: int, top_n: int | None, error: str) -> Attributes:
    """Return the attributes of a request for scores.

    Args:
        model: the public name of the model.
        tokens: the tokens that were read for it.
        top_n: the number of results that it asked for; `None` for all.
        error: the HTTP status of one that failed; else empty.
    """
    return {
        **_shared("rerank", model, tokens, error),
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": model,
        **({} if top_n is None else {"reranker.top_k": top_n}),
    }


def embedding_attributes(
    *, model: str, tokens: int, encoding: Encoding | None, width: int, error: str
) -> Attributes:
    """Return the attributes of a request for vectors.

    Args:
        model: the public name of the model.
        tokens: the tokens that were read for it.
        encoding: the vectors that it asked for; `None` until its body is read.
        width: the numbers of a vector of the reply; 0 without one.
        error: the HTTP status of one that failed; else empty.
    """
    return {
        **_shared("embeddings", model, tokens, error),
        **({"gen_ai.embeddings.dimension.count": width} if width else {}),
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": model,
        "llm.token_count.prompt": tokens,
        "llm.token_count.total": tokens,
        **({} if encoding is None else _asked(encoding)),
    }


def _shared(operation: str, model: str, tokens: int, error: str) -> Attributes:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDER,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": tokens,
        **({"error.type": error} if error else {}),
    }


def _asked(encoding: Encoding) -> Attributes:
    """Return the parameters of a request for vectors, those that it left out included."""
    encoding_format = "base64" if encoding.is_base64 else "float"
    parameters = {
        "encoding_format": encoding_format,
        "input_type": encoding.side,
        "normalize": encoding.is_unit,
        **({"dimensions": encoding.dimensions} if encoding.dimensions else {}),
    }
    return {
        "gen_ai.request.encoding_formats": [encoding_format],
        "embedding.invocation_parameters": json.dumps(parameters),
    }


def texts(
    request: RerankRequest | None, result: RerankResult | None, characters: int
) -> Attributes:
    """Return the first texts of a request, and its best results, as OpenInference names them.

    Args:
        request: the request; `None` if its body could not be read.
        result: its result; `None` if it failed.
        characters: the most characters of each text; 0 for no text.
    """
    if request is None or not characters:
        return {}
    first = request.documents[:_MOST_DOCUMENTS]
    if request.encoding:
        return {
            f"embedding.embeddings.{at}.embedding.text": document.text[:characters]
            for at, document in enumerate(first)
        }
    found: dict[str, str | float] = {}
    if len(request.queries) == 1:
        found["reranker.query"] = request.queries[0][:characters]
    for at, document in enumerate(first):
        found |= _document("input", at, document, at, characters)
    for at, scored in enumerate(result.top[:_MOST_DOCUMENTS] if result else ()):
        document = request.documents[scored.index]
        found |= _document("output", at, document, scored.index, characters)
        found[f"reranker.output_documents.{at}.document.score"] = scored.relevance_score
    return found


def _document(
    side: str, at: int, document: Document, index: int, characters: int
) -> dict[str, str]:
    """Return a document's place in the request and its text, as the one at this place of a list."""
    name = f"reranker.{side}_documents.{at}.document"
    return {f"{name}.id": str(index), f"{name}.content": document.text[:characters]}
