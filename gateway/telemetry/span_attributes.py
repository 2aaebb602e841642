"""Attributes of a request's span in the words of OpenTelemetry and of OpenInference. Pure.

OpenTelemetry's conventions for generative AI have no operation for reranking yet: `rerank` is the
name that is proposed for it. None of the attributes holds text of a request.
"""

_PROVIDER = "rerank-gateway"


def conventional_attributes(
    *, model: str, tokens: int, top_n: int | None, error: str
) -> dict[str, str | int]:
    """Return the attributes of a request.

    Args:
        model: the public name of the model.
        tokens: the tokens that were read for it.
        top_n: the number of results that it asked for; `None` for all.
        error: the HTTP status of one that failed; else empty.
    """
    return {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": _PROVIDER,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": tokens,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": model,
        **({} if top_n is None else {"reranker.top_k": top_n}),
        **({"error.type": error} if error else {}),
    }
