"""Loops against a server that stalls, refuses and hangs up: nothing of it is hidden."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import repeat

from aiohttp import web

from gateway.bench.figures import Answer
from gateway.bench.load import PATH, Run, Span, Target
from gateway.bench.workloads import Asked

ASKED = Asked("q", ("a", "b", "c"))
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


def run_of(target: Target, requests: int) -> tuple[Run, list[Answer]]:
    """Return a run of so many requests, and where it notes its answers."""
    noted: list[Answer] = []
    return Run(target, repeat(ASKED), Span(seconds=60, requests=requests), noted.append), noted


async def test_an_open_loop_does_not_wait_for_a_server_that_stalls() -> None:
    """No answer comes before the last request did: a loop that waited would never end."""
    count, arrived, all_are_here = 20, 0, asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            all_are_here.set()
        await all_are_here.wait()
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, _ = run_of(target, count)
        await run.open(rate=200, seed=1)
    last = max(one.started for one in run.answers)
    assert last > 0
    for one in run.answers:  # each was kept waiting until the last one was sent, and says so
        assert one.seconds >= last - one.started


async def test_a_request_that_was_sent_late_counts_from_when_it_was_due() -> None:
    """The loop itself is held up while the second request should have been sent."""
    count = 5

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, noted = run_of(target, count)
        loop = asyncio.get_running_loop()
        held = 0.5

        def hold() -> None:
            until = loop.time() + held
            while loop.time() < until:
                pass

        loop.call_soon(hold)
        await run.open(rate=1000, seed=1)
    assert len(noted) == count
    assert max(one.started for one in noted) < held / 2  # all were due while nothing could be sent
    assert all(one.started + one.seconds >= held for one in noted)


async def test_a_closed_loop_has_as_many_requests_at_a_time_as_clients() -> None:
    clients, here, most = 3, 0, 0
    full = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal here, most
        here += 1
        most = max(most, here)
        if here == clients:
            full.set()
        await full.wait()
        here -= 1
        return web.json_response(REPLY)

    async with server(answer) as target:
        run, _ = run_of(target, 12)
        await run.closed(clients)
    assert (len(run.answers), most) == (12, clients)


async def test_every_end_of_a_request_is_noted_by_its_code() -> None:
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
        run, noted = run_of(target, 8)
        await run.closed(1)
    assert Counter(one.code for one in run.answers) == {503: 2, 0: 2, 200: 4}
    assert sorted(one.tokens for one in noted) == [0, 0, 0, 0, 0, 0, 30, 30]
    assert sum(one.documents for one in noted) == 4 * 3
