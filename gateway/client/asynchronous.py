"""The client for asyncio, bound to the event loop in which it is first used."""

import asyncio
import io
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, TypeAlias, TypedDict

import aiohttp

from gateway.client.address import complete_url, connection_problem
from gateway.client.candidates import Candidate, read_candidates
from gateway.client.errors import (
    RETRIED,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
)
from gateway.client.parts import merge, split, without_details
from gateway.client.ranking import Blend, Ranking, ranked
from gateway.client.retries import Budget, Retries
from gateway.client.wire import PATH, Reply, read_error, read_reply, request_body

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_SECONDS = 60.0
PARTS_AT_ONCE = 4
PART_BYTES = 4_000_000
"""Half of the gateway's default body limit, since JSON escapes may double the size of a text."""


LongDocuments: TypeAlias = Literal["truncate", "passages", "error"]
"""Treatment of a long document: cut, read in passages (the best one counts), or refused."""


class Options(TypedDict, total=False):
    """Options of a client beside its URL; see `AsyncClient`."""

    api_key: str | None
    model: str | None
    timeout: float
    retries: Retries | None
    part_documents: int
    connections: int


@dataclass(frozen=True, slots=True)
class Call:
    """The part that all requests of one call share.

    Attributes:
        query: the query.
        fields: other fields of the request body.
        deadline: end of the call, by `time.monotonic`.
    """

    query: str
    fields: Mapping[str, object]
    deadline: float


class AsyncClient:
    """Client of a rerank gateway; its connections stay open between calls until `close`.

    Args:
        url: the gateway's base URL, without `/v1`; `http` where it has no scheme.
        api_key: bearer token; unset for RERANK_API_KEY in the environment, if it is set.
        model: model of calls that name none; unset for the gateway's default.
        timeout: time limit of a call without its own, in seconds, retries included.
        retries: number and delays of retries.
        part_documents: maximum number of documents in one request; longer lists are split.
        connections: maximum number of open connections.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retries: Retries | None = None,
        part_documents: int = 1000,
        connections: int = 32,
    ) -> None:
        if part_documents < 1:
            raise ValueError(f"part_documents is {part_documents}: a part needs a document")
        self._url = complete_url(url).rstrip("/") + PATH
        self._headers = {"content-type": "application/json"}
        if api_key := api_key or os.environ.get("RERANK_API_KEY"):
            self._headers["authorization"] = f"Bearer {api_key}"
        self._model = model
        self._timeout_seconds = timeout
        self._retries = retries or Retries()
        self._budget = Budget()
        self._part_documents = part_documents
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def rerank(
        self,
        query: str,
        documents: Sequence[object],
        *,
        top_n: int | None = None,
        instruction: str | None = None,
        model: str | None = None,
        return_documents: bool = True,
        return_details: bool = False,
        long_documents: LongDocuments | None = None,
        max_passages: int | None = None,
        boosts: Mapping[str, float] | None = None,
        first_stage_weight: float = 0.0,
        timeout: float | None = None,  # noqa: ASYNC109 - one limit for all parts and retries
    ) -> Ranking:
        """Order documents by relevance to a query.

        Args:
            query: the text to compare with.
            documents: strings, mappings or objects with `page_content`, `text` or `content`, or
                tuples of one of these and its first-stage score.
            top_n: number of results; `None` and 0 for all.
            instruction: definition of relevance, for models that read one.
            model: model that scores.
            return_documents: true for results with the caller's documents.
            return_details: true for results with `Details`.
            long_documents: treatment of a document that is too long for one pass of the model;
                unset for the model's configuration.
            max_passages: maximum number of passages of one document; alone it implies `passages`.
            boosts: weights by metadata key; see `gateway.client.ranking` for the formula.
            first_stage_weight: the first stage's share of the score, from 0 to 1.
            timeout: time limit of the call, in seconds.

        Raises:
            ClientError: the class names the cause; see `gateway.client.errors`.
        """
        _check_numbers(top_n=top_n, max_passages=max_passages)
        candidates = read_candidates(documents)
        blend = Blend(first_stage_weight, boosts or {})
        blend.check(candidates)
        seconds = self._timeout_seconds if timeout is None else timeout
        call = Call(
            query,
            {
                "instruction": instruction,
                "model": model or self._model,
                "top_n": None if blend else top_n,
                "return_details": return_details or None,
                "long_documents": long_documents,
                "max_chunks_per_doc": max_passages,
            },
            time.monotonic() + seconds,
        )
        try:
            async with asyncio.timeout(seconds):
                reply = await self._score(call, [candidate.text for candidate in candidates])
        except TimeoutError:
            raise DeadlineExceeded(f"{self._url} did not answer within {seconds:g} s") from None
        return _ranking(reply, candidates, blend, top_n or None, return_documents)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _score(self, call: Call, texts: Sequence[str]) -> Reply:
        """Send one request, or one for each part, and return the whole reply."""
        sizes = [len(text.encode(errors="surrogatepass")) for text in texts]
        parts = split(sizes, documents=self._part_documents, size=PART_BYTES)
        if len(parts) == 1:
            return await self._request(call, texts, call.fields)
        fields = {**call.fields, "return_details": True}
        slots = asyncio.Semaphore(PARTS_AT_ONCE)

        async def request(part: range) -> Reply:
            async with slots:
                return await self._request(call, texts[part.start : part.stop], fields)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(request(part)) for part in parts]
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        whole = merge(parts, [task.result() for task in tasks])
        return whole if call.fields["return_details"] else without_details(whole)

    async def _request(
        self, call: Call, texts: Sequence[str], fields: Mapping[str, object]
    ) -> Reply:
        """Send one request, with retries, until it succeeds or no retry is left."""
        body = request_body(call.query, texts, **fields)
        self._budget.earn()
        attempts = 0
        while True:
            try:
                return await self._send(body, documents=len(texts), deadline=call.deadline)
            except RETRIED as error:
                attempts += 1
                wait = self._retries.wait_seconds(
                    attempts, error.retry_after_seconds, random.random()
                )
                is_late = time.monotonic() + wait >= call.deadline
                if attempts >= self._retries.tries or is_late or not self._budget.spend():
                    raise
            await asyncio.sleep(wait)

    async def _send(self, body: bytes, *, documents: int, deadline: float) -> Reply:
        """Send a request once."""
        left_ms = max(1, int((deadline - time.monotonic()) * 1000))
        headers = {**self._headers, "x-request-timeout-ms": str(left_ms)}
        try:
            async with self._open_session().post(
                self._url, data=io.BytesIO(body), headers=headers
            ) as response:
                raw = await response.read()
        except aiohttp.InvalidURL:
            raise InvalidRequest(f"{self._url!r} is not a URL") from None
        except aiohttp.ClientError as error:
            reason = await connection_problem(error, self._url)
            raise ConnectionFailed(f"no answer from {self._url}: {reason}") from None
        if response.status != 200:
            raise read_error(response.status, response.headers, raw)
        return read_reply(raw, documents=documents, request_id=response.headers.get("x-request-id"))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise InvalidRequest(f"{name} is {number}: send 0 or more")


def _ranking(
    reply: Reply,
    candidates: Sequence[Candidate],
    blend: Blend,
    top_n: int | None,
    return_documents: bool,
) -> Ranking:
    if not return_documents:
        candidates = [replace(candidate, document=None) for candidate in candidates]
    return Ranking(
        results=ranked(reply.scored, candidates, blend, top_n),
        model=reply.model,
        tokens=reply.tokens,
        request_ids=reply.request_ids,
        warnings=reply.warnings,
    )
