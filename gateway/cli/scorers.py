"""Who scores for `gateway rerank`: a gateway behind a URL, or shards of our own without HTTP."""

import io
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gateway.cli.spoken import Spoken
    from gateway.config import Settings

PATIENCE_SECONDS = 600.0
"""How long one part of a request may take; loading the model included."""


class Refused(Exception):
    """The request was refused; the message is the gateway's."""


class Unreachable(Exception):
    """No gateway answers at the URL."""


@dataclass(frozen=True, slots=True)
class Score:
    """One document's score; `order` decides the rank: the margin where it is known."""

    relevance_score: float
    order: float


class Scorer(Protocol):
    """Scores documents, in input order."""

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]: ...


class Remote:
    """A gateway, or any other server that speaks one of the APIs that we know."""

    def __init__(
        self, session: Any, url: str, spoken: "Spoken", options: Mapping[str, str | None]
    ) -> None:
        self._session = session
        self._url = spoken.url(url)
        self._spoken = spoken
        self._options = {key: value for key, value in options.items() if value is not None}

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        """Ask once; raises `Refused` or `Unreachable`."""
        import aiohttp
        import orjson

        body = orjson.dumps({**self._spoken.body(query, documents), **self._options})
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=io.BytesIO(body), headers=headers
            ) as reply:
                said = await reply.read()
                if reply.status != 200:
                    raise Refused(f"{self._url} answered {reply.status}: {_message(said)}")
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise Unreachable(f"{self._url} cannot be asked: {reason}") from None
        return self._read(said, len(documents))

    def _read(self, said: bytes, documents: int) -> list[Score]:
        import orjson

        try:
            scores = dict(self._spoken.scores(orjson.loads(said)))
            return [Score(scores[index], scores[index]) for index in range(documents)]
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
            raise Refused(
                f"{self._url} answered, but not with a score for each document in this API "
                f"({error!r}): is it the right --dialect?"
            ) from None


def _message(said: bytes) -> str:
    """Return the message of an error reply, whatever its shape."""
    import orjson

    try:
        found = orjson.loads(said)
    except orjson.JSONDecodeError:
        return said[:500].decode(errors="replace")
    if isinstance(found, dict):
        for key in ("message", "detail", "error"):
            inner = found.get(key)
            if isinstance(inner, dict):
                inner = inner.get("message")
            if isinstance(inner, str):
                return inner
    return str(found)[:500]


@asynccontextmanager
async def remote(
    url: str, spoken: "Spoken", options: Mapping[str, str | None], api_key: str | None = None
) -> AsyncIterator[Scorer]:
    """Yield a scorer that asks a URL; options are further fields of its requests."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        yield Remote(session, url, spoken, options)


class Local:
    """The gateway's own fleet and reranker, in this process, without HTTP."""

    def __init__(self, reranker: Any, model: str, instruction: str | None) -> None:
        self._reranker = reranker
        self._model = model
        self._instruction = instruction
        self._asked = 0

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        """Score once; raises `Refused`."""
        from gateway.domain import Document, RerankRequest
        from gateway.errors import GatewayError

        request = RerankRequest(
            queries=(query,),
            documents=tuple(map(Document, documents)),
            model=self._model,
            instruction=self._instruction,
        )
        self._asked += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            result = await self._reranker.rerank(
                request, request_id=f"local-{self._asked}", deadline=deadline
            )
        except GatewayError as error:
            raise Refused(error.message) from None
        return [Score(one.relevance_score, one.margin) for one in result.scored]


@asynccontextmanager
async def local(settings: "Settings", model: str, instruction: str | None) -> AsyncIterator[Scorer]:
    """Yield a scorer with shards of its own, which end with it."""
    from gateway.config import model_specs
    from gateway.fleet import Fleet
    from gateway.metrics import Metrics
    from gateway.policy import FleetPolicy
    from gateway.reranker import Reranker

    fleet = Fleet(model_specs(settings), FleetPolicy.of(settings), Metrics())
    await fleet.start()
    try:
        yield Local(Reranker(fleet), model, instruction)
    finally:
        await fleet.stop()
