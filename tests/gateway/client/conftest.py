"""A gateway with the fake engine, and a server that follows a script of responses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tests.gateway.cli.conftest import Serving

SUCCESS = (
    b'{"id":"rerank-1","model":"m","results":[{"index":0,"relevance_score":0.5}],'
    b'"usage":{"total_tokens":3}}'
)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway with the fake engine: `demo`; `slow`, half a second a batch; `busy`, a
    third of a second for two documents; `deep`, a cascade; `gone`, which is never ready."""
    folder = tmp_path_factory.mktemp("client")
    config = folder / "gateway.toml"
    config.write_text(
        "port = 0\nlimits.queue_tokens = 50_000\n"
        '[models.demo]\nsource = "fake"\nengine = "fake"\ndevices = ["cpu:0"]\n'
        '[models.slow]\nsource = "fake?delay_ms=500"\nengine = "fake"\ndevices = ["cpu:0"]\n'
        '[models.busy]\nsource = "fake?delay_ms=300"\nengine = "fake"\ndevices = ["cpu:0"]\n'
        "max_length = 8\n"
        '[models.gone]\nsource = "fake?refuse=66"\nengine = "fake"\ndevices = ["cpu:0"]\n'
        'fallback = ["input-order"]\n'
        '[cascades.deep]\nfirst = "demo"\nthen = "slow"\nkeep = 2\n'
    )
    with Serving("--config", str(config), log=folder / "log") as serving:
        yield serving.url


@dataclass
class Scripted:
    """A real HTTP server; each request takes the next response, the last one stays.

    A response is a status and headers, or `None`: the connection is cut.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
    body: bytes = SUCCESS
    arrivals: list[float] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Record the request and send the next response."""
        self.arrivals.append(asyncio.get_running_loop().time())
        self.requests.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        answer = self.answers[min(len(self.arrivals), len(self.answers)) - 1]
        if answer is None:
            assert request.transport
            request.transport.abort()
            return web.Response()
        status, headers = answer
        body = self.body if status == 200 else b'{"message":"no","error":{"code":"some_code"}}'
        return web.Response(status=status, headers=headers, body=body)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """A server with an empty script."""
    server = Scripted()
    application = web.Application()
    application.router.add_post("/v1/rerank", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()
