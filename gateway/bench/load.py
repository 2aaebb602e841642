"""Sends requests and notes what comes back.

A closed loop has some clients of which each asks again when it got its answer: it finds the
throughput. An open loop sends at a rate, whatever comes back, as users do: it finds the latency. In
an open loop a request's time counts from the moment at which it was to be sent, so that a gateway
that stalls cannot hide it by keeping the next requests from being sent.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp

from gateway.bench.figures import Answer
from gateway.bench.workloads import Asked

PATH = "/v1/rerank"
NO_ANSWER = 0

Note = Callable[[Answer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, and how.

    Attributes:
        url: of the gateway, without path.
        model: by name; the default one if `None`.
        key: an API key.
        timeout_seconds: after which an answer is given up.
    """

    url: str
    model: str | None = None
    key: str | None = None
    timeout_seconds: float = 120.0

    def session(self) -> aiohttp.ClientSession:
        """Return connections to it, as many as there are requests at a time."""
        headers = {"Content-Type": "application/json"}
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
    """How long a run goes on: until so many seconds or requests, whichever comes first."""

    seconds: float
    requests: int | None = None

    def is_over(self, sent: int, elapsed: float) -> bool:
        """Whether no further request is to be sent."""
        return elapsed >= self.seconds or (self.requests is not None and sent >= self.requests)


class Run:
    """One run against a target.

    Attributes:
        answers: what has come of the requests so far.
        seconds: how long it took, once it is over.
    """

    def __init__(self, target: Target, asked: Iterator[Asked], span: Span, note: Note) -> None:
        self.answers: list[Answer] = []
        self.seconds = 0.0
        self._target = target
        self._asked = asked
        self._span = span
        self._note = note
        self._sent = 0
        self._begin = 0.0

    async def closed(self, clients: int) -> None:
        """Let so many clients ask one request after the other."""
        async with self._target.session() as session:
            self._begin = time.monotonic()
            await asyncio.gather(*(self._client(session) for _ in range(clients)))
            self.seconds = self._elapsed

    async def open(self, rate: float, seed: int) -> None:
        """Send so many requests a second on average, at random moments (a Poisson process)."""
        chance = random.Random(seed)
        async with self._target.session() as session, asyncio.TaskGroup() as group:
            self._begin = time.monotonic()
            due = 0.0
            while not self._span.is_over(self._sent, due):
                await asyncio.sleep(max(0.0, due - self._elapsed))
                group.create_task(self._ask(session, due))
                self._sent += 1
                due += chance.expovariate(rate)
        self.seconds = self._elapsed

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._span.is_over(self._sent, self._elapsed):
            self._sent += 1
            await self._ask(session, self._elapsed)

    async def _ask(self, session: aiohttp.ClientSession, due: float) -> None:
        asked = next(self._asked)
        code, documents, tokens = await self._answer(session, asked)
        answer = Answer(due, self._elapsed - due, code, documents, tokens)
        self.answers.append(answer)
        self._note(answer)

    async def _answer(self, session: aiohttp.ClientSession, asked: Asked) -> tuple[int, int, int]:
        """Return status, documents and tokens."""
        try:
            async with session.post(PATH, data=asked.body(self._target.model)) as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, TimeoutError):
            return NO_ANSWER, 0, 0
        if reply.status != 200:
            return reply.status, 0, 0
        return reply.status, len(asked.documents), _tokens(raw)


def _tokens(raw: bytes) -> int:
    """Return the tokens that a reply counts; 0 where it does not, as other servers may."""
    try:
        usage = json.loads(raw).get("usage") or {}
        return int(usage.get("total_tokens") or usage.get("prompt_tokens") or 0)
    except (ValueError, AttributeError, TypeError):
        return 0
