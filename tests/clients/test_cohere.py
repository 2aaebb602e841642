"""cohere: `Client` (v1), `ClientV2`, and their async twins."""

from typing import Any

import cohere
import pytest
from cohere.core.api_error import ApiError

from tests.clients.cases import (
    BEST,
    DOCUMENTS,
    MODEL,
    NO_DOCUMENTS,
    NO_MODEL,
    NO_SUCH_KEY,
    QUERY,
    TOO_MUCH,
    WRONG_KEY,
    Expected,
    Keyed,
)

ONCE: Any = {"max_retries": 0}
CLIENTS = [cohere.Client, cohere.ClientV2]
ASYNC = [cohere.AsyncClient, cohere.AsyncClientV2]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("suffix", ["", "/v1", "/cohere"])
def test_rerank(url: str, expected: Expected, kind: Any, suffix: str) -> None:
    client = kind(api_key="any", base_url=url + suffix)
    reply = client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    expected.check([result.index for result in reply.results], reply.results[0].relevance_score)
    assert reply.id.startswith("rerank-")
    assert reply.meta.billed_units.search_units == 1
    assert reply.meta.tokens.input_tokens > 20
    top = client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, top_n=1)
    assert [result.index for result in top.results] == [1]


def test_v1_returns_documents(url: str) -> None:
    reply = cohere.Client("any", base_url=url).rerank(
        model=MODEL, query=QUERY, documents=DOCUMENTS, return_documents=True
    )
    assert reply.results[0].document is not None
    assert reply.results[0].document.text == BEST


def test_v1_reads_fields_of_objects(url: str) -> None:
    documents: Any = [{"text": "no", "title": text} for text in DOCUMENTS]
    reply = cohere.Client("any", base_url=url).rerank(
        model=MODEL,
        query=QUERY,
        documents=documents,
        rank_fields=["title"],
        return_documents=True,
    )
    assert reply.results[0].index == 1
    document: Any = reply.results[0].document
    assert document is not None
    assert document.title == BEST


def test_v1_needs_no_model(url: str) -> None:
    reply = cohere.Client("any", base_url=url).rerank(query=QUERY, documents=DOCUMENTS)
    assert reply.results[0].index == 1


@pytest.mark.parametrize("kind", ASYNC)
async def test_async(url: str, expected: Expected, kind: Any) -> None:
    client = kind(api_key="any", base_url=url)
    reply = await client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    expected.check([result.index for result in reply.results], reply.results[0].relevance_score)


@pytest.mark.parametrize("kind", CLIENTS)
def test_errors(url: str, busy: str, kind: Any) -> None:
    client = kind(api_key="any", base_url=url)
    with pytest.raises(cohere.NotFoundError) as unknown:
        client.rerank(model="no-such-model", query=QUERY, documents=DOCUMENTS)
    assert NO_MODEL in unknown.value.body["message"]
    with pytest.raises(cohere.BadRequestError) as empty:
        client.rerank(model=MODEL, query=QUERY, documents=[])
    assert NO_DOCUMENTS in empty.value.body["message"]
    overloaded = kind(api_key="any", base_url=busy)
    with pytest.raises(cohere.ServiceUnavailableError) as full:
        overloaded.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, request_options=ONCE)
    assert TOO_MUCH in full.value.body["message"]
    assert isinstance(full.value, ApiError)
    assert int((full.value.headers or {})["retry-after"]) > 0


@pytest.mark.parametrize("kind", ASYNC)
async def test_async_errors(url: str, busy: str, kind: Any) -> None:
    with pytest.raises(cohere.NotFoundError, match="no-such-model"):
        client = kind(api_key="any", base_url=url)
        await client.rerank(model="no-such-model", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(cohere.ServiceUnavailableError, match="queue_tokens"):
        client = kind(api_key="any", base_url=busy)
        await client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, request_options=ONCE)


@pytest.mark.parametrize("kind", CLIENTS)
def test_keys(keyed: Keyed, kind: Any) -> None:
    body: Any = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}
    assert len(kind(api_key=keyed.key, base_url=keyed.url).rerank(**body).results) == 3
    with pytest.raises(cohere.UnauthorizedError) as refused:
        kind(api_key=WRONG_KEY, base_url=keyed.url).rerank(**body)
    assert NO_SUCH_KEY in refused.value.body["message"]


@pytest.mark.parametrize("kind", ASYNC)
async def test_async_keys(keyed: Keyed, kind: Any) -> None:
    body: Any = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}
    found = await kind(api_key=keyed.key, base_url=keyed.url).rerank(**body)
    assert len(found.results) == 3
    with pytest.raises(cohere.UnauthorizedError, match=NO_SUCH_KEY):
        await kind(api_key=WRONG_KEY, base_url=keyed.url).rerank(**body)
