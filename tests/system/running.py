"""A real gateway process with real shards, and a client that records its answers in a ledger."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil

from gateway.domain.request import sigmoid
from shards.engines.fake import margin

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 120.0
_DEADLINE_SECONDS = 240.0  # of a request: shards that are started anew may take long to be there
NICENESS_OF_BUSY = 5  # it leaves other work three quarters of a core
_URL = re.compile(rb"listening on (https?://127\.0\.0\.1:\d+)")


class Gateway:
    """A running gateway and an HTTP session to it."""

    def __init__(
        self, process: subprocess.Popen[bytes], url: str, log: Path, tls: ssl.SSLContext | bool
    ) -> None:
        self.process = process
        self.url = url
        self.log = log
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=tls))

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as reply:
            return reply.status, await reply.json()

    async def rerank(
        self, documents: list[str], *, timeout_seconds: float = _DEADLINE_SECONDS, **fields: object
    ) -> tuple[int, Any, Any]:
        """Return status, JSON and headers."""
        body = {"query": "which?", "documents": documents, **fields}
        headers = {"X-Request-Timeout-Ms": str(int(timeout_seconds * 1000))}
        async with self.session.post(self.url + "/v1/rerank", json=body, headers=headers) as reply:
            return reply.status, await reply.json(), reply.headers

    async def shards(self) -> dict[str, Any]:
        """Return the status of all shards by name."""
        _, status = await self.get("/status")
        return {shard["name"]: shard for model in status["models"] for shard in model["shards"]}

    async def models(self) -> dict[str, Any]:
        """Return the status of all models that serve, by name."""
        _, status = await self.get("/status")
        return {model["name"]: model for model in status["models"]}

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over all its labels."""
        async with self.session.get(self.url + "/metrics") as reply:
            text = await reply.text()
        lines = (line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the shards meet a condition; fail with their status if they never do."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not condition(shards := await self.shards()):
            assert time.monotonic() < end, f"not met after {_PATIENCE_SECONDS} s: {shards}"
            await asyncio.sleep(0.02)
        return shards

    async def until_ready(self) -> dict[str, Any]:
        return await self.until(all_are("ready"))

    async def until_accepted(self, ledger: "Ledger", count: int) -> None:
        """Wait until `count` requests of a ledger, of a document each, wait or are answered."""
        end, accepted = time.monotonic() + _PATIENCE_SECONDS, 0
        while accepted < count:
            assert time.monotonic() < end, f"only {accepted} requests were accepted"
            answered = ledger.codes.total()  # first, so that no request counts twice
            jobs = 0
            for model in (await self.models()).values():
                jobs += model["queue"] + sum(shard["queue"] for shard in model["shards"])
            accepted = answered + jobs

    async def until_at_rest(self, descriptors: int, children: int) -> None:
        """Wait until the gateway has so many descriptors and processes again, and no more."""
        process = psutil.Process(self.process.pid)

        def found() -> tuple[int, int]:
            return self.descriptors, len(process.children())

        end = time.monotonic() + _PATIENCE_SECONDS
        while (now := found())[0] > descriptors or now[1] != children:
            assert time.monotonic() < end, f"{now} instead of {(descriptors, children)}"
            await asyncio.sleep(0.05)

    @property
    def shard_processes(self) -> list[psutil.Process]:
        """All processes that the gateway has started, its helpers included."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children

    @property
    def descriptors(self) -> int:
        """The open descriptors of the gateway, less the connections that this process holds."""
        port = urlsplit(self.url).port
        held = sum(
            bool(connection.raddr)
            and connection.raddr.port == port
            and connection.status == psutil.CONN_ESTABLISHED
            for connection in psutil.Process().net_connections("tcp4")
        )
        return int(psutil.Process(self.process.pid).num_fds()) - held

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def wait(self) -> int:
        """Wait for the end of the gateway; return its exit code."""
        return await asyncio.to_thread(self.process.wait, _PATIENCE_SECONDS)


def all_are(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda shards: all(shard["state"] == state for shard in shards.values())


@asynccontextmanager
async def running(
    config: str,
    folder: Path,
    *,
    chaos: bool = False,
    site: str = "",
    tls: ssl.SSLContext | bool = True,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Gateway]:
    """Run `gateway serve` with a configuration, on a free port, until the block ends.

    Args:
        config: the configuration, without the port.
        folder: a folder for the configuration and the log.
        chaos: whether its fake engine is the one of `tests.system.chaos_engine`.
        site: a folder beside this file, whose sitecustomize.py puts another fault into the
            processes of the gateway; empty for none.
        tls: the certificates that the client trusts.
        environment: more variables for the gateway.
    """
    file, log = folder / "gateway.toml", folder / "gateway.log"
    file.write_text("port = 0\n" + config)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            cwd=_ROOT,
            env=_environment("chaos_site" if chaos else site) | dict(environment or {}),
        )
    gateway: Gateway | None = None
    try:
        gateway = Gateway(process, await _url(process, log), log, tls)
        yield gateway
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        if gateway is not None:
            await gateway.session.close()
        process.kill()
        process.wait()


def _environment(site: str) -> dict[str, str]:
    path = [str(_ROOT / "tests" / "system" / site), str(_ROOT)] if site else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


async def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not (found := _URL.search(log.read_bytes())):
        assert process.poll() is None, f"the gateway ended: {log.read_text()}"
        assert time.monotonic() < end, "the gateway does not listen"
        await asyncio.sleep(0.02)
    return found[1].decode()


async def until_no_more_shared_memory(than: frozenset[str]) -> None:
    """Wait until /dev/shm holds no other names; those of other programs, as browsers, pass."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while left := shared_memory() - than:
        assert time.monotonic() < end, f"left in /dev/shm: {sorted(left)}"
        await asyncio.sleep(0.1)


def shared_memory() -> frozenset[str]:
    return frozenset(path.name for path in Path("/dev/shm").iterdir())


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep each core busy with one process of niceness 5 while the block runs."""
    with ExitStack() as stack:
        for core in os.sched_getaffinity(0):
            prepare = f"import os; os.sched_setaffinity(0, {{{core}}}); os.nice({NICENESS_OF_BUSY})"
            code = f"{prepare}\nwhile True: pass"
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", code]))
            stack.callback(process.kill)
        yield


@dataclass
class Ledger:
    """The status codes of all answers, and the wrong scores among them.

    A client can compute the scores of the fake engine, so it finds a swapped, missing or repeated
    score.
    """

    gateway: Gateway
    documents: int = 3
    model: str | None = None
    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stopped: bool = False

    async def send(self, number: int) -> None:
        """Send one request and record its answer."""
        texts = [f"document {place} of request {number}" for place in range(self.documents)]
        status, body, _ = await self.gateway.rerank(texts, model=self.model)
        self.codes[status] += 1
        if status == 200:
            self._check(texts, body["results"])

    def _check(self, texts: list[str], results: list[dict[str, Any]]) -> None:
        got = {result["index"]: result["relevance_score"] for result in results}
        expected = {index: sigmoid(margin("which?", text)) for index, text in enumerate(texts)}
        if got != expected:
            self.wrong.append(f"{texts[0]}: {got} instead of {expected}")

    async def client(self, number: int) -> None:
        """Send one request after the other until `stopped`."""
        while not self.stopped:
            await self.send(number)
            number += 1000

    @asynccontextmanager
    async def load(self, clients: int) -> AsyncIterator[None]:
        """Keep a number of clients busy while the block runs."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self.client(number))
            yield
            self.stopped = True

    async def until_answered(self, count: int) -> None:
        """Wait until `count` requests have been answered."""
        while self.codes.total() < count:
            await asyncio.sleep(0.005)

    def assert_all_right(self) -> None:
        assert set(self.codes) == {200}, self.codes
        assert not self.wrong, self.wrong[:3]
