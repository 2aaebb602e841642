"""SDKs of rerank APIs with formats of their own: ZeroEntropy, Pinecone, DashScope and NVIDIA."""

import pytest

pytest.importorskip("pinecone")

import dashscope
import zeroentropy
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank
from pinecone import Pinecone
from pinecone.errors.exceptions import ApiError

from tests.clients.cases import (
    BEST,
    DOCUMENTS,
    MODEL,
    NO_MODEL,
    NO_SUCH_KEY,
    QUERY,
    TOO_MUCH,
    WRONG_KEY,
    Expected,
    Keyed,
)

BODY = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}


# -- ZeroEntropy -----------------------------------------------------------------------------------


def zero(url: str, key: str = "any") -> zeroentropy.ZeroEntropy:
    return zeroentropy.ZeroEntropy(api_key=key, base_url=url, max_retries=0)


@pytest.mark.parametrize("base", ["/v1", "/zeroentropy/v1"])
def test_zeroentropy(url: str, expected: Expected, base: str) -> None:
    reply = zero(url + base).models.rerank(**BODY, latency="fast")
    expected.check([found.index for found in reply.results], reply.results[0].relevance_score)
    assert reply.total_tokens > 20
    top = zero(url + base).models.rerank(**BODY, top_n=1)
    assert [found.index for found in top.results] == [1]


async def test_zeroentropy_async(url: str, expected: Expected) -> None:
    async with zeroentropy.AsyncZeroEntropy(api_key="any", base_url=f"{url}/v1") as client:
        reply = await client.models.rerank(**BODY)
    expected.check([found.index for found in reply.results], reply.results[0].relevance_score)


def test_errors_of_zeroentropy(url: str, busy: str, keyed: Keyed) -> None:
    with pytest.raises(zeroentropy.NotFoundError, match=NO_MODEL):
        zero(f"{url}/v1").models.rerank(**{**BODY, "model": "no-such-model"})
    with pytest.raises(zeroentropy.InternalServerError) as caught:
        zero(f"{busy}/v1").models.rerank(**BODY)
    assert TOO_MUCH in str(caught.value)
    assert zero(f"{keyed.url}/v1", keyed.key).models.rerank(**BODY).results
    with pytest.raises(zeroentropy.AuthenticationError, match=NO_SUCH_KEY):
        zero(f"{keyed.url}/v1", WRONG_KEY).models.rerank(**BODY)


# -- Pinecone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "/pinecone"])
def test_pinecone(url: str, expected: Expected, base: str) -> None:
    client = Pinecone(api_key="any", host=url + base)
    reply = client.inference.rerank(**BODY)
    expected.check([found.index for found in reply.data], reply.data[0].score)
    assert reply.data[0].document == {"text": BEST}
    assert (reply.model, reply.usage.rerank_units) == (MODEL, 1)
    pages = [{"id": str(i), "body": text} for i, text in enumerate(DOCUMENTS)]
    best = client.inference.rerank(
        MODEL, QUERY, pages, rank_fields=["body"], top_n=1, parameters={"truncate": "END"}
    )
    assert best.data[0].document["id"] == "1"
    bare = client.inference.rerank(**BODY, return_documents=False)
    assert bare.data[0].document is None


def test_errors_of_pinecone(url: str, keyed: Keyed) -> None:
    with pytest.raises(ApiError, match=NO_MODEL) as caught:
        Pinecone(api_key="any", host=url).inference.rerank("no-such-model", QUERY, DOCUMENTS)
    assert caught.value.status_code == 404
    assert Pinecone(api_key=keyed.key, host=keyed.url).inference.rerank(**BODY).data
    with pytest.raises(ApiError, match=NO_SUCH_KEY):
        Pinecone(api_key=WRONG_KEY, host=keyed.url).inference.rerank(**BODY)


# -- DashScope -------------------------------------------------------------------------------------


def test_dashscope(
    url: str, expected: Expected, keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{url}/api/v1")
    reply = dashscope.TextReRank.call(
        **BODY, api_key="any", return_documents=True, instruct="Find the answer"
    )
    results = reply.output.results
    assert reply.status_code == 200
    expected.check([found.index for found in results], results[0].relevance_score)
    assert results[0]["document"] == {"text": BEST}
    assert reply.usage["total_tokens"] > 20
    top = dashscope.TextReRank.call(**BODY, api_key="any", top_n=1)
    assert [found.index for found in top.output.results] == [1]
    unknown = dashscope.TextReRank.call(**{**BODY, "model": "no-such-model"}, api_key="any")
    assert (unknown.status_code, unknown.code) == (404, "model_not_found")
    assert NO_MODEL in unknown.message
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{keyed.url}/api/v1")
    assert dashscope.TextReRank.call(**BODY, api_key=keyed.key).status_code == 200
    refused = dashscope.TextReRank.call(**BODY, api_key=WRONG_KEY)
    assert refused.status_code == 401
    assert NO_SUCH_KEY in refused.message


# -- NVIDIA ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/v1", "/nim/v1"])
def test_nvidia_rerank(url: str, expected: Expected, base: str) -> None:
    ranker = NVIDIARerank(base_url=url + base, model=MODEL, api_key="any", top_n=3)
    pages = [Document(page_content=text) for text in DOCUMENTS]
    found = ranker.compress_documents(query=QUERY, documents=pages)
    expected.check_texts([page.page_content for page in found], expected.best_score)
    lost = NVIDIARerank(base_url=url + base, model="no-such-model", api_key="any")
    with pytest.raises(Exception, match=NO_MODEL):
        lost.compress_documents(query=QUERY, documents=pages)


def test_keys_of_nvidia_rerank(keyed: Keyed) -> None:
    pages = [Document(page_content=text) for text in DOCUMENTS]
    for key, wrong in ((keyed.key, False), (WRONG_KEY, True)):
        ranker = NVIDIARerank(base_url=f"{keyed.url}/v1", model=MODEL, api_key=key)
        if wrong:
            with pytest.raises(Exception, match=NO_SUCH_KEY):
                ranker.compress_documents(query=QUERY, documents=pages)
        else:
            assert ranker.compress_documents(query=QUERY, documents=pages)
