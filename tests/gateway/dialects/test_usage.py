"""Cached tokens in every reply with a field for them."""

from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS, Limits, RerankBody
from gateway.domain.request import RerankResult, Scored

DIALECT_OF = {dialect.name: dialect for dialect in DIALECTS}


def usage_of(name: str, saved_tokens: int) -> dict[str, Any]:
    """Return the usage in a dialect's reply to its own example, with a number of cached tokens."""
    dialect = DIALECT_OF[name]
    request = dialect.parse(msgspec.convert(dialect.contract.example, RerankBody), Limits())
    scored = (Scored(0, 1.0, 30, truncated=False), Scored(1, 2.0, 30, truncated=False))
    result = RerankResult(
        id="rerank-1",
        model="demo",
        scored=scored,
        top=scored,
        processing_seconds=0.01,
        created=1,
        saved_tokens=saved_tokens,
    )
    usage: dict[str, Any] = msgspec.to_builtins(dialect.render(request, result))["usage"]
    return usage


@pytest.mark.parametrize("name", ["cohere_v2", "jina", "vllm_score"])
def test_cached_tokens_are_in_the_usage(name: str) -> None:
    assert usage_of(name, 20)["prompt_tokens_details"] == {"cached_tokens": 20}
    assert not usage_of(name, 0).get("prompt_tokens_details")
