"""Load on a server: requests in a closed or an open loop, and a record of each reply.

In a closed loop each client sends its next request when the reply to the last one has come: this
finds the throughput. An open loop sends at a rate, whatever comes back, as users do: this finds the
latency. In an open loop the time of a request counts from the moment at which it was due, so that a
server that stalls cannot hide the stall by delaying the next requests.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp

from gateway.cli.bench.figures import Reply
from gateway.cli.bench.workloads import Request

PATH = "/v1/rerank"
NO_ANSWER = 0

OnReply = Callable[[Reply], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server, and the model and key of requests to it.

    Attributes:
        url: URL of the server without path.
        model: name of the model; None for the server's default.
        key: API key.
        timeout_seconds: limit of one request.
    """

    url: str
    model: str | None = None
    key: str | None = None
    timeout_seconds: float = 120.0

    def session(self) -> aiohttp.ClientSession:
        """Return a session with as many connections as there are requests at a time.

        Scores that are kept from an earlier run with the same seed do not count.
        """
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return aiohttp.ClientSession(
            self.url,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Length of a run: so many seconds or requests, whichever comes first."""

    seconds: float
    requests: int | None = None

    def is_over(self, sent: int, elapsed: float) -> bool:
        """Return whether no further request is due."""
        return elapsed >= self.seconds or (self.requests is not None and sent >= self.requests)


class Run:
    """One run against a target.

    Attributes:
        replies: outcomes of the requests so far.
        seconds: length of the run, once it is over.
    """

    def __init__(
        self, target: Target, requests: Iterator[Request], span: Span, on_reply: OnReply
    ) -> None:
        self.replies: list[Reply] = []
        self.seconds = 0.0
        self._target = target
        self._requests = requests
        self._span = span
        self._on_reply = on_reply
        self._sent = 0
        self._begin = 0.0

    async def closed(self, clients: int) -> None:
        """Send from so many clients, each one request after the other."""
        async with self._target.session() as session:
            self._begin = time.monotonic()
            await asyncio.gather(*(self._client(session) for _ in range(clients)))
            self.seconds = self._elapsed

    async def open(self, rate: float, seed: int) -> None:
        """Send so many requests per second on average, at random times (a Poisson process)."""
        chance = random.Random(seed)
        async with self._target.session() as session, asyncio.TaskGroup() as group:
            self._begin = time.monotonic()
            due = 0.0
            while not self._span.is_over(self._sent, due):
                await asyncio.sleep(max(0.0, due - self._elapsed))
                group.create_task(self._send(session, due))
                self._sent += 1
                due += chance.expovariate(rate)
        self.seconds = self._elapsed

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._span.is_over(self._sent, self._elapsed):
            self._sent += 1
            await self._send(session, self._elapsed)

    async def _send(self, session: aiohttp.ClientSession, due: float) -> None:
        request = next(self._requests)
        code, documents, tokens = await self._outcome(session, request)
        reply = Reply(due, self._elapsed - due, code, documents, tokens)
        self.replies.append(reply)
        self._on_reply(reply)

    async def _outcome(
        self, session: aiohttp.ClientSession, request: Request
    ) -> tuple[int, int, int]:
        """Return status, number of documents and number of tokens."""
        try:
            async with session.post(PATH, data=request.body(self._target.model)) as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, TimeoutError):
            return NO_ANSWER, 0, 0
        if reply.status != 200:
            return reply.status, 0, 0
        return reply.status, len(request.documents), _tokens(raw)


def _tokens(raw: bytes) -> int:
    """Return the tokens that a reply counts; 0 if it has no count, as from other servers."""
    try:
        usage = json.loads(raw).get("usage") or {}
        return int(usage.get("total_tokens") or usage.get("prompt_tokens") or 0)
    except (ValueError, AttributeError, TypeError):
        return 0
