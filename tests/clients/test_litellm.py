"""litellm: eight providers of its `rerank`, each by its own adapter."""

from dataclasses import dataclass
from typing import Any

import pytest

litellm: Any = pytest.importorskip("litellm")

from tests.clients.asked import (
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
    """How one adapter is pointed at the gateway, and what it can do."""

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
]
EVERY = pytest.mark.parametrize(
    "provider", PROVIDERS, ids=[f"{one.name}{one.suffix}" for one in PROVIDERS]
)


@EVERY
def test_without_documents(url: str, expected: Expected, provider: Provider) -> None:
    reply = litellm.rerank(**provider.ask(url, return_documents=False))
    expected.check([one["index"] for one in reply.results], reply.results[0]["relevance_score"])
    assert reply.id
    top = litellm.rerank(**provider.ask(url, return_documents=False, top_n=1))
    assert [one["index"] for one in top.results] == [1]


@EVERY
def test_with_documents(url: str, provider: Provider) -> None:
    reply = litellm.rerank(**provider.ask(url, return_documents=True))
    assert reply.results[0]["index"] == 1
    if provider.has_documents:
        assert reply.results[0]["document"]["text"] == BEST


@EVERY
async def test_async(url: str, expected: Expected, provider: Provider) -> None:
    reply = await litellm.arerank(**provider.ask(url, return_documents=False))
    expected.check([one["index"] for one in reply.results], reply.results[0]["relevance_score"])


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
