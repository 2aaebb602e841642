"""langchain-cohere, langchain-community (Jina, Infinity) and langchain-voyageai."""

from functools import partial
from typing import Any

import pytest

pytest.importorskip("langchain_core")

import cohere
import infinity_client
import voyageai.error
from langchain_cohere import CohereRerank
from langchain_community.document_compressors import jina_rerank
from langchain_community.document_compressors.infinity_rerank import InfinityRerank
from langchain_community.document_compressors.jina_rerank import JinaRerank
from langchain_core.documents import Document
from langchain_voyageai import VoyageAIRerank

from tests.clients.cases import (
    DOCUMENTS,
    MODEL,
    NO_DOCUMENTS,
    NO_MODEL,
    QUERY,
    TOO_MUCH,
    Expected,
)

PAGES = [Document(text, metadata={"n": n}) for n, text in enumerate(DOCUMENTS)]


def check(expected: Expected, found: list[Document]) -> None:
    """Check order, score and metadata of the returned documents."""
    expected.check([page.metadata["n"] for page in found], found[0].metadata["relevance_score"])
    assert found[0].page_content == DOCUMENTS[1]


def test_cohere(url: str, busy: str, expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = CohereRerank(base_url=url, model=MODEL, cohere_api_key="any", top_n=3)
    check(expected, list(ranker.compress_documents(PAGES, QUERY)))
    with pytest.raises(cohere.NotFoundError, match="no-such-model"):
        ranker.rerank(DOCUMENTS, QUERY, model="no-such-model")
    assert ranker.rerank([], QUERY) == []  # without a request
    client = cohere.ClientV2("any", base_url=busy)
    no_retries: Any = {"request_options": {"max_retries": 0}}
    monkeypatch.setattr(client, "rerank", partial(client.rerank, **no_retries))
    with pytest.raises(cohere.ServiceUnavailableError, match="queue_tokens"):
        CohereRerank(client=client, model=MODEL).rerank(DOCUMENTS, QUERY)


def jina(monkeypatch: pytest.MonkeyPatch, url: str, model: str = MODEL) -> JinaRerank:
    """Return a ranker. The class has no argument for the URL, only a constant."""
    monkeypatch.setattr(jina_rerank, "JINA_API_URL", f"{url}/v1/rerank")
    return JinaRerank(model=model, jina_api_key="any", top_n=3)


def test_jina(url: str, expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    check(expected, list(jina(monkeypatch, url).compress_documents(PAGES, QUERY)))


def test_jina_errors(url: str, busy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError) as unknown:
        jina(monkeypatch, url, "no-such-model").rerank(DOCUMENTS, QUERY)
    assert NO_MODEL in str(unknown.value)
    assert jina(monkeypatch, url).rerank([], QUERY) == []  # without a request
    with pytest.raises(RuntimeError) as full:
        jina(monkeypatch, busy).rerank(DOCUMENTS, QUERY)
    assert TOO_MUCH in str(full.value)


@pytest.mark.parametrize("prefix", ["", "/infinity"])
def test_infinity(url: str, expected: Expected, prefix: str) -> None:
    client = infinity_client.Client(base_url=url + prefix)
    ranker = InfinityRerank(client=client, model=MODEL, top_n=3)
    check(expected, list(ranker.compress_documents(PAGES, QUERY)))


def test_infinity_errors(url: str, busy: str) -> None:
    for at, model, message in ((url, "no-such-model", NO_MODEL), (busy, MODEL, TOO_MUCH)):
        client = infinity_client.Client(base_url=at, raise_on_unexpected_status=True)
        with pytest.raises(infinity_client.errors.UnexpectedStatus) as error:
            InfinityRerank(client=client, model=model).rerank(DOCUMENTS, QUERY)
        assert message.encode() in error.value.content


async def test_voyage(url: str, busy: str, expected: Expected) -> None:
    for base in (f"{url}/v1", f"{url}/voyage/v1"):
        ranker = VoyageAIRerank(api_key="any", base_url=base, model=MODEL)
        check(expected, list(ranker.compress_documents(PAGES, QUERY)))
        check(expected, list(await ranker.acompress_documents(PAGES, QUERY)))
        with pytest.raises(voyageai.error.InvalidRequestError) as empty:
            ranker._rerank([], QUERY)
        assert NO_DOCUMENTS in str(empty.value)
    with pytest.raises(voyageai.error.VoyageError) as unknown:
        VoyageAIRerank(api_key="any", base_url=f"{url}/v1", model="no-such-model")._rerank(
            DOCUMENTS, QUERY
        )
    assert NO_MODEL in str(unknown.value)
    with pytest.raises(voyageai.error.ServiceUnavailableError):
        VoyageAIRerank(api_key="any", base_url=f"{busy}/v1", model=MODEL)._rerank(DOCUMENTS, QUERY)
