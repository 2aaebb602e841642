"""litellm: nine providers of its `rerank`, each by its own adapter."""

from dataclasses import dataclass
from typing import Any

import pytest

litellm: Any = pytest.importorskip("litellm")

from tests.clients.cases import (
    BEST,
    DOCUMENTS,
    MODEL,
    NO_DOCUMENTS,
    NO_MODEL,
    QUERY,
    TOO_MUCH,
    Expected,
)


@dataclass(frozen=True)
class Provider:
    """One adapter: its base URL at the gateway, and its abilities."""

    name: str
    suffix: str = ""
    has_documents: bool = True
    has_model: bool = True

    def ask(self, url: str, model: str = MODEL, **fields: Any) -> dict[str, Any]:
        return {
            "model": f"{self.name}/{model}",
            "query": QUERY,
            "documents": DOCUMENTS,
            "api_base": url + self.suffix,
            "api_key": "any",
            **fields,
        }


PROVIDERS = [
    Provider("cohere"),
    Provider("cohere", "/v1/rerank"),
    Provider("jina_ai"),
    Provider("hosted_vllm"),
    Provider("infinity", "/infinity"),
    Provider("huggingface", has_model=False),
    Provider("huggingface", f"/models/{MODEL}", has_model=False),
    Provider("voyage", has_documents=False),
    Provider("voyage", "/voyage"),
    Provider("together_ai", "/v1"),
    Provider("litellm_proxy"),
    Provider("dashscope", "/compatible-api/v1"),
    # base URLs of other servers
    Provider("cohere", "/providers/cohere/v2/rerank"),
    Provider("cohere", "/v2"),
    Provider("hosted_vllm", "/openai/v1/"),
    Provider("jina_ai", "/api/v1/rerank"),
]
EVERY = pytest.mark.parametrize(
    "provider", PROVIDERS, ids=[f"{provider.name}{provider.suffix}" for provider in PROVIDERS]
)


@EVERY
def test_without_documents(url: str, expected: Expected, provider: Provider) -> None:
    reply = litellm.rerank(**provider.ask(url, return_documents=False))
    expected.check(
        [result["index"] for result in reply.results], reply.results[0]["relevance_score"]
    )
    assert reply.id
    top = litellm.rerank(**provider.ask(url, return_documents=False, top_n=1))
    assert [result["index"] for result in top.results] == [1]


@EVERY
def test_with_documents(url: str, provider: Provider) -> None:
    reply = litellm.rerank(**provider.ask(url, return_documents=True))
    assert reply.results[0]["index"] == 1
    if provider.has_documents:
        assert reply.results[0]["document"]["text"] == BEST


@EVERY
async def test_async(url: str, expected: Expected, provider: Provider) -> None:
    reply = await litellm.arerank(**provider.ask(url, return_documents=False))
    expected.check(
        [result["index"] for result in reply.results], reply.results[0]["relevance_score"]
    )


@EVERY
def test_errors(url: str, busy: str, provider: Provider) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (litellm.BadRequestError, provider.ask(url, documents=[]), NO_DOCUMENTS),
        (litellm.ServiceUnavailableError, provider.ask(busy), TOO_MUCH),
    ]
    if provider.has_model:
        missing = provider.ask(url, "no-such-model")
        cases.append((litellm.NotFoundError, missing, NO_MODEL))
    for kind, fields, message in cases:
        with pytest.raises(kind) as error:
            litellm.rerank(**fields)
        assert message in str(error.value), error.value
