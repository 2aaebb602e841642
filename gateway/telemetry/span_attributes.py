"""Attributes of a request's span in the words of OpenTelemetry and of OpenInference. Pure.

OpenTelemetry's conventions for generative AI have an operation for embeddings, and none for
reranking yet: `rerank` is the name that is proposed for it. OpenInference has a kind of span for
both. None of the attributes holds text of a request.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.domain.request import Encoding

Attributes: TypeAlias = Mapping[str, str | int | Sequence[str]]
"""Attributes of a span, by name."""

_PROVIDER = "rerank-gateway"


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
