"""Loops against a server that stalls, refuses and hangs up: the record shows all of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import repeat

from aiohttp import web

from gateway.cli.bench.figures import Reply
from gateway.cli.bench.load import PATH, Run, Span, Target
from gateway.cli.bench.workloads import Request

REQUEST = Request("q", ("a", "b", "c"))
REPLY = {"usage": {"total_tokens": 30}}

Answering = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(answer: Answering) -> AsyncIterator[Target]:
    """Serve one path at a free port."""
    app = web.Application()
    app.router.add_post(PATH, answer)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Target(url=f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_seconds=30)
    finally:
        await runner.cleanup()


def run_of(target: Target, requests: int) -> tuple[Run, list[Reply]]:
    """Return a run of so many requests, and the list of replies that it fills."""
    recorded: list[Reply] = []
    return Run(
        target, repeat(REQUEST), Span(seconds=60, requests=requests), recorded.append
    ), recorded


async def test_an_open_loop_does_not_wait_for_a_server_that_stalls() -> None:
    """No reply comes before the last request: a loop that waited would never end."""
    count, arrived, all_arrived = 20, 0, asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            all_arrived.set()
        await all_arrived.wait()
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, _ = run_of(target, count)
        await run.open(rate=200, seed=1)
    last = max(reply.started for reply in run.replies)
    assert last > 0
    for reply in run.replies:  # each waited until the last request was sent, and its time has it
        assert reply.seconds >= last - reply.started


async def test_a_request_that_was_sent_late_counts_from_when_it_was_due() -> None:
    """The loop itself is blocked while the second request is due."""
    count = 5

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, recorded = run_of(target, count)
        loop = asyncio.get_running_loop()
        held = 0.5

        def hold() -> None:
            until = loop.time() + held
            while loop.time() < until:
                pass

        loop.call_soon(hold)
        await run.open(rate=1000, seed=1)
    assert len(recorded) == count
    assert (
        max(reply.started for reply in recorded) < held / 2
    )  # all were due while the loop was blocked
    assert all(reply.started + reply.seconds >= held for reply in recorded)


async def test_a_closed_loop_has_as_many_requests_at_a_time_as_clients() -> None:
    clients, present, most = 3, 0, 0
    full = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal present, most
        present += 1
        most = max(most, present)
        if present == clients:
            full.set()
        await full.wait()
        present -= 1
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, _ = run_of(target, 12)
        await run.closed(clients)
    assert (len(run.replies), most) == (12, clients)


async def test_every_end_of_a_request_is_recorded_by_its_code() -> None:
    arrived = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived % 4 == 1:
            return web.json_response({"message": "full"}, status=503)
        if arrived % 4 == 2:
            assert request.transport is not None
            request.transport.abort()
        if arrived % 4 == 3:
            return web.Response(text="no JSON")
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, recorded = run_of(target, 8)
        await run.closed(1)
    assert Counter(reply.code for reply in run.replies) == {503: 2, 0: 2, 200: 4}
    assert sorted(reply.tokens for reply in recorded) == [0, 0, 0, 0, 0, 0, 30, 30]
    assert sum(reply.documents for reply in recorded) == 4 * 3
