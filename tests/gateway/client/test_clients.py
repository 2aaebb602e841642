"""Both clients against a real gateway, and a real server that misbehaves on request."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from gateway.client import (
    AsyncClient,
    Client,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    Details,
    InvalidRequest,
    Overloaded,
    Retries,
    Unavailable,
    UnknownModel,
)
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.gateway.client.conftest import Scripted

DOCUMENTS = [f"document {number}" for number in range(50)]
SOON = Retries(tries=3, first_wait_seconds=0.001, longest_wait_seconds=0.002)


def expected(query: str) -> list[tuple[int, float]]:
    scores = [(index, sigmoid(margin(query, text))) for index, text in enumerate(DOCUMENTS)]
    return sorted(scores, key=lambda score: (-score[1], score[0]))


def test_the_sync_client_ranks(served: str) -> None:
    pages = [{"text": text, "id": index} for index, text in enumerate(DOCUMENTS)]
    with Client(served) as client:
        ranking = client.rerank("q", pages, top_n=3)
    assert [(result.index, result.relevance_score) for result in ranking] == expected("q")[:3]
    assert all(result.document is pages[result.index] for result in ranking)
    assert (ranking.model, len(ranking.request_ids)) == ("demo", 1)
    assert ranking.tokens == sum(1 + 1 + len(text.split()) for text in DOCUMENTS)


async def test_the_async_client_ranks_many_at_once(served: str) -> None:
    queries = [f"query {number}" for number in range(20)]
    async with AsyncClient(served, connections=4) as client:
        rankings = await asyncio.gather(*(client.rerank(query, DOCUMENTS) for query in queries))
    for query, ranking in zip(queries, rankings, strict=True):
        assert [(result.index, result.relevance_score) for result in ranking] == expected(query)


async def test_parts_equal_one_request(served: str) -> None:
    pages = [
        ({"text": text, "metadata": {"even": n % 2 == 0}}, n) for n, text in enumerate(DOCUMENTS)
    ]
    async with AsyncClient(served) as whole, AsyncClient(served, part_documents=7) as split:
        for options in (
            {},
            {"top_n": 5},
            {"first_stage_weight": 0.3, "boosts": {"even": 0.5}, "top_n": 10},
        ):
            result = await whole.rerank("q", pages, **options)
            other = await split.rerank("q", pages, **options)
            assert other.results == result.results
            assert (len(result.request_ids), len(other.request_ids)) == (1, 8)
            assert other.tokens == result.tokens


@pytest.mark.parametrize("model", ["deep", "gone"])
async def test_what_ranks_a_whole_list_is_not_asked_in_parts(served: str, model: str) -> None:
    async with AsyncClient(served, model=model) as whole:
        assert len(await whole.rerank("q", DOCUMENTS)) == len(DOCUMENTS)
    async with AsyncClient(served, model=model, part_documents=7) as split:
        with pytest.raises(InvalidRequest, match="in one request"):
            await split.rerank("q", DOCUMENTS)


async def test_documents_are_returned_only_if_requested(served: str) -> None:
    async with AsyncClient(served) as client:
        ranking = await client.rerank("q", ["a", "b"], return_documents=False)
    assert [result.document for result in ranking] == [None, None]


@pytest.mark.parametrize(
    ("ask", "kind", "status", "message"),
    [
        (lambda c: c.rerank("q", ["a"], model="none"), UnknownModel, 404, "'none' is not served"),
        (lambda c: c.rerank("q", []), InvalidRequest, 400, "documents is empty"),
        (lambda c: c.rerank(" ", ["a"]), InvalidRequest, 400, "query is empty"),
        (lambda c: c.rerank("q", ["a"], top_n=-1), InvalidRequest, None, "top_n is -1"),
    ],
)
def test_rejections_are_typed(
    served: str,
    ask: Callable[[Client], object],
    kind: type[ClientError],
    status: int | None,
    message: str,
) -> None:
    with Client(served, retries=Retries(tries=1)) as client, pytest.raises(kind) as caught:
        ask(client)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert message in caught.value.message
    assert (caught.value.request_id is None) == (status is None)


async def test_a_gateway_with_a_full_queue_rejects_requests(served: str) -> None:
    many = [f"a b c d e f {number}" for number in range(10_000)]
    async with AsyncClient(served, model="busy", part_documents=10_000) as client:
        held = asyncio.create_task(client.rerank("q", many, timeout=600))
        await until_busy(served)
        once = AsyncClient(served, model="busy", retries=Retries(tries=1))
        async with once:
            with pytest.raises(Overloaded, match="queue_tokens") as caught:
                await once.rerank("q", ["a"])
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert (caught.value.retry_after_seconds or 0) >= 1


async def until_busy(url: str) -> None:
    """Wait until the model `busy` has jobs."""
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        outstanding = 0
        while not outstanding:
            async with session.get(f"{url}/status") as reply:
                models = {model["name"]: model for model in (await reply.json())["models"]}
            outstanding = sum(shard["outstanding_tokens"] for shard in models["busy"]["shards"])


def test_a_rejected_part_is_one_error_and_not_a_group(served: str) -> None:
    with Client(served, part_documents=1) as client, pytest.raises(UnknownModel):
        client.rerank("q", ["a", "b"], model="none")


def test_the_timeout_covers_the_whole_call(served: str) -> None:
    with Client(served, model="slow") as client, pytest.raises(DeadlineExceeded) as caught:
        client.rerank("q", DOCUMENTS, timeout=0.1)
    assert "0.1 s" in caught.value.message or caught.value.status == 504


async def test_busy_and_cut_connections_are_retried(scripted: Scripted) -> None:
    scripted.answers = [(503, {}), (429, {}), None, (200, {})]
    async with AsyncClient(scripted.url, retries=Retries(4, 0.001, 0.002)) as client:
        ranking = await client.rerank("q", ["a"])
    assert [result.relevance_score for result in ranking] == [0.5]
    assert len(scripted.requests) == 4
    assert len(set(scripted.requests)) == 1


async def test_the_last_error_is_raised_after_all_tries(scripted: Scripted) -> None:
    scripted.answers = [(429, {}), (503, {"x-request-id": "r7"})]
    async with AsyncClient(scripted.url, retries=SOON) as client:
        with pytest.raises(Unavailable, match="no") as caught:
            await client.rerank("q", ["a"])
    assert (caught.value.request_id, caught.value.code) == ("r7", "some_code")
    assert len(scripted.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 413, 422, 500, 502, 504])
async def test_other_errors_are_not_retried(scripted: Scripted, status: int) -> None:
    scripted.answers = [(status, {"retry-after": "0"})]
    async with AsyncClient(scripted.url, retries=SOON) as client:
        with pytest.raises(ClientError) as caught:
            await client.rerank("q", ["a"])
    assert caught.value.status == status
    assert len(scripted.requests) == 1


async def test_retry_after_delays_the_retry(scripted: Scripted) -> None:
    scripted.answers = [(503, {"retry-after": "1"}), (200, {})]
    async with AsyncClient(scripted.url, retries=SOON) as client:
        await client.rerank("q", ["a"])
    first, second = scripted.arrivals
    assert second - first >= 1


async def test_no_wait_starts_that_ends_after_the_timeout(scripted: Scripted) -> None:
    scripted.answers = [(429, {"retry-after": "1000"})]
    async with AsyncClient(scripted.url, retries=SOON) as client:
        async with asyncio.timeout(120):  # far below the server's Retry-After
            with pytest.raises(Overloaded) as caught:
                await client.rerank("q", ["a"], timeout=30)
    assert caught.value.retry_after_seconds == 1000
    assert len(scripted.requests) == 1


async def test_the_budget_bounds_the_retries_of_a_failing_server(scripted: Scripted) -> None:
    scripted.answers = [(503, {})]
    async with AsyncClient(scripted.url, retries=Retries(3, 0, 0)) as client:
        for _ in range(50):
            with pytest.raises(Unavailable):
                await client.rerank("q", ["a"])
    assert 50 + 10 <= len(scripted.requests) <= 50 + 10 + 50 / 5


@pytest.mark.parametrize(("given", "sent"), [(None, "Bearer theirs"), ("mine", "Bearer mine")])
async def test_a_key_from_the_environment(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, given: str | None, sent: str
) -> None:
    monkeypatch.setenv("RERANK_API_KEY", "theirs")
    scripted.answers = [(200, {})]
    async with AsyncClient(scripted.url, api_key=given) as client:
        await client.rerank("q", ["a"])
    assert scripted.headers[0]["authorization"] == sent


async def test_key_and_deadline_are_sent(scripted: Scripted) -> None:
    scripted.answers = [(200, {})]
    async with AsyncClient(scripted.url, api_key="secret", model="m") as client:
        await client.rerank("q", ["a"], instruction="find", timeout=5)
    (headers,) = scripted.headers
    assert headers["authorization"] == "Bearer secret"
    assert 0 < int(headers["x-request-timeout-ms"]) <= 5000
    assert json.loads(scripted.requests[0]) == {
        "query": "q",
        "documents": ["a"],
        "instruction": "find",
        "model": "m",
    }


def test_no_server_at_the_url() -> None:
    with Client("http://127.0.0.1:9", retries=SOON) as client, pytest.raises(ConnectionFailed):
        client.rerank("q", ["a"])
    with (
        Client("no url", retries=SOON) as client,
        pytest.raises(InvalidRequest, match="is not a URL"),
    ):
        client.rerank("q", ["a"])


async def test_connections_are_reused(scripted: Scripted) -> None:
    scripted.answers = [(200, {})]
    async with AsyncClient(scripted.url) as client:
        for _ in range(3):
            await client.rerank("q", ["a"])
        session: Any = client._session
        assert sum(map(len, session.connector._conns.values())) == 1


def test_threads_share_one_client(served: str) -> None:
    with Client(served) as client, ThreadPoolExecutor(8) as threads:
        queries = [f"query {number}" for number in range(16)]
        rankings = list(threads.map(lambda query: client.rerank(query, DOCUMENTS), queries))
    for query, ranking in zip(queries, rankings, strict=True):
        assert [(result.index, result.relevance_score) for result in ranking] == expected(query)


def test_close_cancels_calls_and_ends_the_thread(served: str) -> None:
    def client_threads() -> int:
        return sum(thread.name == "rerank-client" for thread in threading.enumerate())

    client = Client(served, model="slow")
    assert client_threads() == 0
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(client.rerank, "q", ["a"] * 5000)
        while not client_threads():
            pass
        client.close()
        with contextlib.suppress(CancelledError, RuntimeError):
            running.result(20)
    assert client_threads() == 0
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.rerank("q", ["a"])


LONG = " ".join(f"word{number}" for number in range(9000))


def test_details_of_short_and_long_documents(served: str) -> None:
    with Client(served) as client:
        plain = client.rerank("q", ["short", LONG])
        ranking = client.rerank(
            "q", ["short", LONG], return_details=True, long_documents="passages"
        )
    assert [result.details for result in plain] == [None, None]
    assert any("1 of 2 documents were truncated" in warning for warning in plain.warnings)
    short, long = sorted(ranking, key=lambda result: result.index)
    assert short.details == Details(margin("q", "short"), 3, False, 1, (0, 5))
    assert long.details is not None
    assert (long.details.passages, long.details.truncated) == (2, False)
    assert long.details.span is not None
    start, end = long.details.span
    assert long.details.margin == margin("q", LONG[start:end])
    assert long.relevance_score == sigmoid(long.details.margin)


def test_details_of_parts(served: str) -> None:
    with Client(served, part_documents=7) as client:
        ranking = client.rerank("q", DOCUMENTS, return_details=True)
    for result in ranking:
        assert result.details is not None
        assert result.details.margin == margin("q", DOCUMENTS[result.index])
        assert result.details.span == (0, len(DOCUMENTS[result.index]))


def test_details_show_that_passages_were_left_out(served: str) -> None:
    with Client(served) as client:
        (result,) = client.rerank("q", [LONG], max_passages=1, return_details=True)
        with pytest.raises(InvalidRequest, match="max_passages is -1"):
            client.rerank("q", [LONG], max_passages=-1)
    assert result.details is not None
    assert (result.details.passages, result.details.truncated) == (1, True)
