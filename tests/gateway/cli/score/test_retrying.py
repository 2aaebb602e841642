"""Requests that are sent again: which failures, for how long, and by whose `Retry-After`."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.cli.score.client_apis import CLIENT_APIS
from gateway.cli.score.remote_scorer import remote_scorer
from gateway.cli.score.retrying import TemporaryFailure, retried
from gateway.cli.score.scorer import Refused, RunRefused, Unreachable

BODY = {"results": [{"index": 0, "relevance_score": 0.5}]}


def refusing(*errors: TemporaryFailure) -> Callable[[], Awaitable[int]]:
    """Return a call that fails with each of these, and then returns the number of calls."""
    calls = 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= len(errors):
            raise errors[calls - 1]
        return calls

    return call


async def test_a_temporary_failure_is_tried_again_after_its_time() -> None:
    started = time.monotonic()
    assert await retried(refusing(TemporaryFailure(Refused("full"), 0.3)), 10) == 2
    assert time.monotonic() - started >= 0.3
    lost = TemporaryFailure(Unreachable("lost"))
    assert await retried(refusing(lost, lost, lost), 60) == 4


async def test_the_time_of_retries_is_bounded() -> None:
    never = refusing(*[TemporaryFailure(Refused("full"))] * 1000)
    with pytest.raises(Unreachable, match=r"full \(tried for 0\.5 s\)"):
        await retried(never, 0.5)
    with pytest.raises(Unreachable, match="full"):
        await retried(refusing(TemporaryFailure(Refused("full"), 3600.0)), 10)
    with pytest.raises(Refused, match="full"):
        await retried(never, 0)


@asynccontextmanager
async def server(*statuses: int | None) -> AsyncIterator[tuple[str, list[float]]]:
    """Yield URL and times of requests of a server that answers in turn, the last one for ever."""
    times: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        times.append(time.monotonic())
        status = statuses[min(len(times), len(statuses)) - 1]
        if status is None:
            assert request.transport
            request.transport.abort()
            return web.Response()
        if status == 200:
            return web.json_response(BODY)
        return web.json_response({"message": "no"}, status=status, headers={"retry-after": "1"})

    app = web.Application()
    app.router.add_post("/v1/rerank", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{host}:{port}", times
    finally:
        await runner.cleanup()


async def test_a_server_that_is_full_or_restarts_is_asked_again() -> None:
    async with (
        server(200, 503, 429, None, 200) as (url, times),
        remote_scorer(url, CLIENT_APIS["jina"], {}, retry_seconds=60) as scorer,
    ):
        for _ in range(2):
            (score,) = await scorer.score("q", ["a"])
            assert score.relevance_score == 0.5
    assert len(times) == 5
    assert times[2] - times[1] >= 1 and times[3] - times[2] >= 1


async def test_other_failures_are_final() -> None:
    async with (
        server(400, 401, None) as (url, times),
        remote_scorer(url, CLIENT_APIS["jina"], {}, retry_seconds=60) as scorer,
    ):
        with pytest.raises(Refused, match="answered 400: no"):
            await scorer.score("q", ["a"])
        with pytest.raises(RunRefused, match="answered 401: no"):
            await scorer.score("q", ["a"])
    async with remote_scorer(url, CLIENT_APIS["jina"], {}, retry_seconds=60) as scorer:
        with pytest.raises(Unreachable, match="cannot be reached"):  # it has never answered
            await asyncio.wait_for(scorer.score("q", ["a"]), 50)
    assert len(times) == 2
