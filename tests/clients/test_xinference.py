"""xinference-client: it asks what a model is before it sends a request, and whether keys count."""

from typing import Any

import pytest

pytest.importorskip("xinference_client")

from xinference_client import RESTfulClient
from xinference_client.client.restful.async_restful_client import AsyncClient

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


def check(reply: Any, expected: Expected) -> None:
    results = reply["results"]
    expected.check([result["index"] for result in results], results[0]["relevance_score"])


def test_rerank(url: str, expected: Expected) -> None:
    client = RESTfulClient(url)
    assert client.list_models()[MODEL]["model_type"] == "rerank"
    assert client.describe_model(MODEL)["model_name"] == MODEL
    model = client.get_model(MODEL)
    reply = model.rerank(DOCUMENTS, QUERY)
    check(reply, expected)
    assert "warnings" not in reply["meta"]
    (top,) = model.rerank(DOCUMENTS, QUERY, top_n=1, return_documents=True)["results"]
    assert top["document"]["text"] == BEST


async def test_async(url: str, expected: Expected) -> None:
    client = AsyncClient(url)
    try:
        model = await client.get_model(MODEL)
        check(await model.rerank(DOCUMENTS, QUERY), expected)
        await model.close()
    finally:
        await client.close()


def test_errors(url: str, busy: str) -> None:
    with pytest.raises(RuntimeError, match=NO_MODEL):
        RESTfulClient(url).get_model("no-such-model")
    with pytest.raises(RuntimeError, match=NO_DOCUMENTS):
        RESTfulClient(url).get_model(MODEL).rerank([], QUERY)
    model = RESTfulClient(busy).get_model(MODEL)
    with pytest.raises(RuntimeError) as caught:
        model.rerank(DOCUMENTS, QUERY)
    assert TOO_MUCH in str(caught.value)


def test_keys(keyed: Keyed) -> None:
    model = RESTfulClient(keyed.url, api_key=keyed.key).get_model(MODEL)
    assert len(model.rerank(DOCUMENTS, QUERY)["results"]) == len(DOCUMENTS)
    with pytest.raises(RuntimeError, match=NO_SUCH_KEY):
        RESTfulClient(keyed.url, api_key=WRONG_KEY).get_model(MODEL)
