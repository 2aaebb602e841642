"""Who scores for `gateway rerank`: a gateway behind a URL, or shards of our own without HTTP."""

import io
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gateway.cli.spoken import Spoken
    from gateway.config import Settings
    from gateway.domain import Policy
    from gateway.fleet import Fleet

PATIENCE_SECONDS = 600.0
"""How long one part of a request may take; loading the model included."""


class Refused(Exception):
    """The request was refused; the message is the gateway's."""


class Unreachable(Exception):
    """No gateway answers at the URL."""


@dataclass(frozen=True, slots=True)
class Score:
    """One document's score; `order` decides the rank: the margin where it is known.

    `details` say how the document was read, if they were asked for.
    """

    relevance_score: float
    order: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """How documents are to be read, and whether results tell it; `None` for the model's way."""

    long_documents: "Policy | None" = None
    max_passages: int | None = None
    details: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the fields of a request that say it."""
        return {
            "long_documents": self.long_documents,
            "max_chunks_per_doc": self.max_passages,
            "return_details": self.details or None,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model scores: its public name, and the fingerprint of its weights, if it has one."""

    name: str
    weights: str = ""


class Scorer(Protocol):
    """Scores documents, in input order.

    Attributes:
        warnings: what those who scored have to say of it, each once.
    """

    warnings: dict[str, None]

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]: ...

    async def identity(self) -> Identity: ...


class Remote:
    """A gateway, or any other server that speaks one of the APIs that we know."""

    def __init__(
        self, session: Any, url: str, spoken: "Spoken", options: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._url = spoken.url(url)
        self._models_url = f"{spoken.base(url)}/v1/models"
        self._spoken = spoken
        self._options = {key: value for key, value in options.items() if value is not None}
        self.warnings: dict[str, None] = {}

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
                if warning := reply.headers.get("x-gateway-warning"):
                    self.warnings[warning] = None
                if reply.status != 200:
                    raise Refused(f"{self._url} answered {reply.status}: {_message(said)}")
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise Unreachable(f"{self._url} cannot be asked: {reason}") from None
        return self._read(said, len(documents))

    async def identity(self) -> Identity:
        """Ask which model it is; raises `Refused` if nobody lists models there."""
        import aiohttp
        import orjson

        wanted = self._options.get("model")
        try:
            async with self._session.get(self._models_url) as reply:
                cards = orjson.loads(await reply.read())["data"]
            for card in cards:
                names = (card["id"], *card["aliases"])
                if wanted in names or (wanted is None and card["default"]):
                    return Identity(card["id"], card.get("weights", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
            raise Refused(f"{self._models_url} lists no models ({error!r})") from None
        raise Refused(f"{self._models_url} does not list {wanted or 'a default model'}")

    def _read(self, said: bytes, documents: int) -> list[Score]:
        import orjson

        from gateway.cli.spoken import found_details

        try:
            reply = orjson.loads(said)
            scores = dict(self._spoken.scores(reply))
            told = found_details(reply) if self._options.get("return_details") else {}
            return [
                Score(scores[index], scores[index], told.get(index, {}))
                for index in range(documents)
            ]
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
    url: str, spoken: "Spoken", options: Mapping[str, Any], api_key: str | None = None
) -> AsyncIterator[Scorer]:
    """Yield a scorer that asks a URL; options are further fields of its requests."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        yield Remote(session, url, spoken, options)


class Local:
    """The gateway's own fleet and reranker, in this process, without HTTP."""

    def __init__(
        self, fleet: "Fleet", model: str, instruction: str | None, reading: Reading
    ) -> None:
        from gateway.reranker import Reranker

        self._fleet = fleet
        self._reranker = Reranker(fleet)
        self._model = model
        self._instruction = instruction
        self._reading = reading
        self.warnings: dict[str, None] = {}
        self._asked = 0

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        """Score once; raises `Refused`."""
        import msgspec

        from gateway.dialects.showing import details
        from gateway.domain import Document, RerankRequest
        from gateway.errors import GatewayError

        request = RerankRequest(
            queries=(query,),
            documents=tuple(map(Document, documents)),
            model=self._model,
            instruction=self._instruction,
            long_documents=self._policy,
            most_passages=self._reading.max_passages,
            return_details=self._reading.details,
        )
        self._asked += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            result = await self._reranker.rerank(
                request, request_id=f"local-{self._asked}", deadline=deadline
            )
        except GatewayError as error:
            raise Refused(error.message) from None
        self.warnings |= dict.fromkeys(result.warnings)
        return [
            Score(one.relevance_score, one.margin, msgspec.to_builtins(details(request, one)))
            for one in result.scored
        ]

    async def identity(self) -> Identity:
        """Say which model it is, once it has scored."""
        (status,) = self._fleet.status()
        return Identity(status.name, status.weights)

    @property
    def _policy(self) -> "Policy | None":
        reading = self._reading
        return reading.long_documents or ("passages" if reading.max_passages else None)


@asynccontextmanager
async def local(
    settings: "Settings", model: str, instruction: str | None, reading: Reading
) -> AsyncIterator[Scorer]:
    """Yield a scorer with shards of its own, which end with it."""
    from gateway.config import model_specs
    from gateway.fleet import Fleet
    from gateway.metrics import Metrics
    from gateway.policy import FleetPolicy

    fleet = Fleet(model_specs(settings), FleetPolicy.of(settings), Metrics())
    await fleet.start()
    try:
        yield Local(fleet, model, instruction, reading)
    finally:
        await fleet.stop()
