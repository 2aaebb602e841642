"""infinity_client: the generated client of infinity's own API."""

import pytest

pytest.importorskip("infinity_client")

from infinity_client import AuthenticatedClient, Client
from infinity_client.api.default import rerank
from infinity_client.errors import UnexpectedStatus
from infinity_client.models import RerankInput

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

PREFIXES = pytest.mark.parametrize("prefix", ["", "/infinity"])


def request(model: str = MODEL, documents: list[str] = DOCUMENTS, **fields: object) -> RerankInput:
    body = {"query": QUERY, "documents": documents, "model": model, **fields}
    return RerankInput.from_dict(body)


@PREFIXES
def test_rerank(url: str, expected: Expected, prefix: str) -> None:
    client = AuthenticatedClient(base_url=url + prefix, token="any")
    reply = rerank.sync(client=client, body=request())
    expected.check([result.index for result in reply.results], reply.results[0].relevance_score)
    assert reply.usage.total_tokens > 20
    top = rerank.sync(client=client, body=request(top_n=1))
    assert [result.index for result in top.results] == [1]


def test_documents_are_strings_under_the_prefix(url: str) -> None:
    client = Client(base_url=f"{url}/infinity")
    reply = rerank.sync(client=client, body=request(return_documents=True))
    assert reply.results[0].document == BEST


@PREFIXES
async def test_async(url: str, expected: Expected, prefix: str) -> None:
    async with Client(base_url=url + prefix) as client:
        reply = await rerank.asyncio(client=client, body=request())
    expected.check([result.index for result in reply.results], reply.results[0].relevance_score)


@PREFIXES
def test_errors(url: str, busy: str, prefix: str) -> None:
    for at, body, message in (
        (url, request("no-such-model"), NO_MODEL),
        (url, request(documents=[]), NO_DOCUMENTS),
        (busy, request(), TOO_MUCH),
    ):
        client = Client(base_url=at + prefix, raise_on_unexpected_status=True)
        with pytest.raises(UnexpectedStatus) as error:
            rerank.sync(client=client, body=body)
        assert message.encode() in error.value.content
