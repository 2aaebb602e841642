"""voyageai: `Client` and `AsyncClient`."""

import pytest

voyageai = pytest.importorskip("voyageai")

from tests.clients.asked import (
    BEST,
    DOCUMENTS,
    MODEL,
    NO_DOCUMENTS,
    NO_MODEL,
    QUERY,
    Expected,
)

BASES = pytest.mark.parametrize("suffix", ["/v1", "/voyage/v1"])


@BASES
def test_rerank(url: str, expected: Expected, suffix: str) -> None:
    client = voyageai.Client(api_key="any", base_url=url + suffix)
    found = client.rerank(QUERY, DOCUMENTS, MODEL)
    expected.check([one.index for one in found.results], found.results[0].relevance_score)
    assert found.results[0].document == BEST
    assert found.total_tokens > 20
    assert [one.index for one in client.rerank(QUERY, DOCUMENTS, MODEL, top_k=1).results] == [1]


@BASES
async def test_async(url: str, expected: Expected, suffix: str) -> None:
    client = voyageai.AsyncClient(api_key="any", base_url=url + suffix)
    found = await client.rerank(QUERY, DOCUMENTS, MODEL, truncation=False)
    expected.check([one.index for one in found.results], found.results[0].relevance_score)


@BASES
async def test_errors(url: str, busy: str, suffix: str) -> None:
    client = voyageai.Client(api_key="any", base_url=url + suffix)
    with pytest.raises(voyageai.error.VoyageError) as unknown:
        client.rerank(QUERY, DOCUMENTS, "no-such-model")
    assert NO_MODEL in str(unknown.value)
    assert "Request rerank-" in str(unknown.value)  # it reads the request-id header
    with pytest.raises(voyageai.error.InvalidRequestError) as empty:
        client.rerank(QUERY, [], MODEL)
    assert NO_DOCUMENTS in str(empty.value)
    with pytest.raises(voyageai.error.ServiceUnavailableError):  # it drops the body of a 503
        voyageai.Client(api_key="any", base_url=busy + suffix).rerank(QUERY, DOCUMENTS, MODEL)
    with pytest.raises(voyageai.error.InvalidRequestError):
        await voyageai.AsyncClient(api_key="any", base_url=url + suffix).rerank(QUERY, [], MODEL)
