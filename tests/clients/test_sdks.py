"""together and mixedbread: SDKs from one generator, with the same errors."""

from typing import Any

import pytest

together: Any = pytest.importorskip("together")
mixedbread: Any = pytest.importorskip("mixedbread")

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


def together_at(url: str) -> Any:
    return together.Together(api_key="any", base_url=f"{url}/v1", max_retries=0)


def mixedbread_at(url: str) -> Any:
    return mixedbread.Mixedbread(api_key="any", base_url=url, max_retries=0)


def ask_together(client: Any, model: str = MODEL, **fields: Any) -> Any:
    given = {"documents": DOCUMENTS, **fields}
    return client.rerank.create(model=model, query=QUERY, **given)


def ask_mixedbread(client: Any, model: str = MODEL, **fields: Any) -> Any:
    given = {"input": DOCUMENTS, **fields}
    return client.rerank(model=model, query=QUERY, **given)


def test_together(url: str, expected: Expected) -> None:
    client = together_at(url)
    reply = ask_together(client)
    expected.check([result.index for result in reply.results], reply.results[0].relevance_score)
    assert (reply.object, reply.model) == ("rerank", MODEL)
    reply = ask_together(client, return_documents=True, top_n=1)
    assert [result.document.text for result in reply.results] == [BEST]
    objects = [{"title": text, "text": "no"} for text in DOCUMENTS]
    reply = ask_together(client, documents=objects, rank_fields=["title"])
    assert reply.results[0].index == 1


def test_mixedbread(url: str, expected: Expected) -> None:
    client = mixedbread_at(url)
    reply = ask_mixedbread(client)
    expected.check([result.index for result in reply.data], reply.data[0].score)
    assert (reply.model, reply.return_input) == (MODEL, False)
    assert reply.usage.total_tokens > 20
    reply = ask_mixedbread(client, return_input=True, top_k=1)
    assert [result.input for result in reply.data] == [BEST]


async def test_async(url: str, expected: Expected) -> None:
    async with together.AsyncTogether(api_key="any", base_url=f"{url}/v1") as client:
        reply = await ask_together(client)
        expected.check([result.index for result in reply.results], reply.results[0].relevance_score)
    async with mixedbread.AsyncMixedbread(api_key="any", base_url=url) as client:
        reply = await ask_mixedbread(client)
        expected.check([result.index for result in reply.data], reply.data[0].score)


@pytest.mark.parametrize(
    ("sdk", "at", "ask", "field"),
    [
        (together, together_at, ask_together, "documents"),
        (mixedbread, mixedbread_at, ask_mixedbread, "input"),
    ],
    ids=["together", "mixedbread"],
)
def test_errors(url: str, busy: str, sdk: Any, at: Any, ask: Any, field: str) -> None:
    with pytest.raises(sdk.NotFoundError) as unknown:
        ask(at(url), model="no-such-model")
    assert NO_MODEL in str(unknown.value)
    with pytest.raises(sdk.BadRequestError) as empty:
        ask(at(url), **{field: []})
    assert NO_DOCUMENTS in str(empty.value)
    with pytest.raises(sdk.InternalServerError) as full:
        ask(at(busy))
    assert full.value.status_code == 503
    assert TOO_MUCH in str(full.value)
