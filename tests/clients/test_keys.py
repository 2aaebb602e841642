"""Keys: a valid key gets results in every client, a wrong one raises the client's own exception.

cohere and openai have files of their own, which run with two versions of each.
"""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("litellm")

import cohere
import infinity_client
import infinity_client.api.default.rerank as infinity
import litellm
import mixedbread
import together
import voyageai
from haystack import Document as HaystackDocument
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker
from infinity_client.errors import UnexpectedStatus
from infinity_client.models import RerankInput
from langchain_cohere import CohereRerank as LangchainCohere
from langchain_community.document_compressors import jina_rerank
from langchain_community.document_compressors.infinity_rerank import InfinityRerank
from langchain_voyageai import VoyageAIRerank as LangchainVoyage
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank as LlamaCohere
from llama_index.postprocessor.jinaai_rerank import JinaRerank as LlamaJina
from llama_index.postprocessor.mixedbreadai_rerank import MixedbreadAIRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank as LlamaVoyage

from tests.clients.cases import DOCUMENTS, MODEL, NO_SUCH_KEY, QUERY, WRONG_KEY, Keyed

Ask = Callable[[pytest.MonkeyPatch, str, str], Any]
"""Sends a request to a URL with a key, and returns one result per document."""

BODY = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}


def llama_index(ranker: Any) -> Any:
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in DOCUMENTS]
    return ranker.postprocess_nodes(nodes, QueryBundle(QUERY))


def haystack(ranker: Any) -> Any:
    pages = [HaystackDocument(content=text) for text in DOCUMENTS]
    return ranker.run(query=QUERY, documents=pages)["documents"]


def with_litellm(provider: str, suffix: str = "") -> Ask:
    def ask(_: pytest.MonkeyPatch, url: str, key: str) -> Any:
        body = {**BODY, "model": f"{provider}/{MODEL}", "return_documents": False}
        return litellm.rerank(**body, api_base=url + suffix, api_key=key).results

    return ask


def langchain_jina(patch: pytest.MonkeyPatch, url: str, key: str) -> Any:
    patch.setattr(jina_rerank, "JINA_API_URL", f"{url}/v1/rerank")
    ranker = jina_rerank.JinaRerank(model=MODEL, jina_api_key=key, top_n=3)
    return ranker.rerank(DOCUMENTS, QUERY)


def infinity_at(url: str, key: str) -> Any:
    return infinity_client.AuthenticatedClient(
        base_url=url, token=key, raise_on_unexpected_status=True
    )


def llama_voyage(_: pytest.MonkeyPatch, url: str, key: str) -> Any:
    ranker = LlamaVoyage(api_key=key, model=MODEL)
    ranker._client = voyageai.Client(api_key=key, base_url=f"{url}/v1")
    return llama_index(ranker)


def llama_mixedbread(patch: pytest.MonkeyPatch, url: str, key: str) -> Any:
    patch.setenv("MIXEDBREAD_BASE_URL", url)
    return llama_index(MixedbreadAIRerank(api_key=key, model=MODEL, top_n=3, max_retries=0))


CLIENTS: dict[str, tuple[Ask, type[Exception]]] = {
    "voyageai": (
        lambda _, url, key: (
            voyageai.Client(api_key=key, base_url=f"{url}/v1")
            .rerank(QUERY, DOCUMENTS, MODEL)
            .results
        ),
        voyageai.error.AuthenticationError,
    ),
    "together": (
        lambda _, url, key: (
            together.Together(api_key=key, base_url=f"{url}/v1", max_retries=0)
            .rerank.create(**BODY)
            .results
        ),
        together.AuthenticationError,
    ),
    "mixedbread": (
        lambda _, url, key: (
            mixedbread.Mixedbread(api_key=key, base_url=url, max_retries=0)
            .rerank(model=MODEL, query=QUERY, input=DOCUMENTS)
            .data
        ),
        mixedbread.AuthenticationError,
    ),
    "infinity_client": (
        lambda _, url, key: (
            infinity.sync(client=infinity_at(url, key), body=RerankInput.from_dict(BODY)).results
        ),
        UnexpectedStatus,
    ),
    "langchain-cohere": (
        lambda _, url, key: LangchainCohere(
            base_url=url, model=MODEL, cohere_api_key=key, top_n=3
        ).rerank(DOCUMENTS, QUERY),
        cohere.UnauthorizedError,
    ),
    "langchain-community jina": (langchain_jina, RuntimeError),
    "langchain-community infinity": (
        lambda _, url, key: InfinityRerank(
            client=infinity_client.Client(
                base_url=url,
                headers={
                    "Authorization": f"Bearer {key}"
                },  # InfinityRerank takes no AuthenticatedClient
                raise_on_unexpected_status=True,
            ),
            model=MODEL,
            top_n=3,
        ).rerank(DOCUMENTS, QUERY),
        UnexpectedStatus,
    ),
    "langchain-voyageai": (
        lambda _, url, key: (
            LangchainVoyage(api_key=key, base_url=f"{url}/v1", model=MODEL)
            ._rerank(DOCUMENTS, QUERY)
            .results
        ),
        voyageai.error.AuthenticationError,
    ),
    "llama-index cohere": (
        lambda _, url, key: llama_index(
            LlamaCohere(api_key=key, base_url=url, model=MODEL, top_n=3, max_retries=1)
        ),
        cohere.UnauthorizedError,
    ),
    "llama-index jina": (
        lambda _, url, key: llama_index(
            LlamaJina(api_key=key, base_url=f"{url}/v1", model=MODEL, top_n=3)
        ),
        RuntimeError,
    ),
    "llama-index voyage": (llama_voyage, voyageai.error.AuthenticationError),
    "llama-index mixedbread": (llama_mixedbread, mixedbread.AuthenticationError),
    "haystack cohere": (
        lambda _, url, key: haystack(
            CohereRanker(model=MODEL, api_key=Secret.from_token(key), api_base_url=url)
        ),
        cohere.UnauthorizedError,
    ),
    "haystack jina": (
        lambda _, url, key: haystack(
            JinaRanker(model=MODEL, api_key=Secret.from_token(key), base_url=f"{url}/v1/rerank")
        ),
        RuntimeError,
    ),
    "haystack vllm": (
        lambda _, url, key: haystack(
            VLLMRanker(model=MODEL, api_key=Secret.from_token(key), api_base_url=f"{url}/v1")
        ),
        RuntimeError,
    ),
    "litellm cohere": (with_litellm("cohere"), litellm.AuthenticationError),
    "litellm jina_ai": (with_litellm("jina_ai"), litellm.AuthenticationError),
    "litellm hosted_vllm": (with_litellm("hosted_vllm"), litellm.AuthenticationError),
    "litellm infinity": (with_litellm("infinity", "/infinity"), litellm.AuthenticationError),
    "litellm huggingface": (with_litellm("huggingface"), litellm.AuthenticationError),
    "litellm voyage": (with_litellm("voyage"), litellm.AuthenticationError),
    "litellm together_ai": (with_litellm("together_ai", "/v1"), litellm.AuthenticationError),
    "litellm litellm_proxy": (with_litellm("litellm_proxy"), litellm.AuthenticationError),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_keys(keyed: Keyed, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, kind = CLIENTS[name]
    assert len(ask(monkeypatch, keyed.url, keyed.key)) == len(DOCUMENTS)
    with pytest.raises(kind) as refused:
        ask(monkeypatch, keyed.url, WRONG_KEY)
    message = getattr(refused.value, "content", b"").decode() or str(refused.value)
    assert NO_SUCH_KEY in message


def test_llama_index_tei_sends_the_key_verbatim_and_loses_the_message(keyed: Keyed) -> None:
    def ranker(key: str) -> Any:
        return TextEmbeddingInference(base_url=keyed.url, top_n=3, auth_token=key)

    for key in (keyed.key, f"Bearer {keyed.key}"):
        assert len(llama_index(ranker(key))) == len(DOCUMENTS)
    with pytest.raises(AssertionError):
        llama_index(ranker(WRONG_KEY))


def test_haystack_tei_reports_only_the_status(keyed: Keyed) -> None:
    def ranker(key: str) -> Any:
        return HuggingFaceTEIRanker(url=keyed.url, token=Secret.from_token(key), max_retries=1)

    assert len(haystack(ranker(keyed.key))) == len(DOCUMENTS)
    with pytest.raises(RuntimeError, match="401 Unauthorized"):
        haystack(ranker(WRONG_KEY))
