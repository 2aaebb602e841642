"""A scorer behind a URL: a gateway, or another server with one of the known APIs."""

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import aiohttp
import orjson

from gateway.cli.score.client_apis import CLIENT_APIS, ClientApi, is_endpoint
from gateway.cli.score.retrying import RETRIED_STATUSES, TemporaryFailure, retried
from gateway.cli.score.scorer import (
    MOST_WARNINGS,
    NO_DETAILS,
    TIMEOUT_SECONDS,
    ModelIdentity,
    Refused,
    RunRefused,
    Score,
    Scorer,
    Unreachable,
)
from gateway.client.address import complete_url, connection_problem, tls_problem
from gateway.client.wire import retry_after_seconds

OWNER = "rerank-gateway"  # of the models in the list of a gateway
_NO_CACHE = {"cache-control": "no-store"}
_RUN_STATUSES = frozenset({401, 403, 404})


@asynccontextmanager
async def remote_scorer(
    url: str,
    api: ClientApi,
    options: Mapping[str, Any],
    api_key: str | None = None,
    *,
    retry_seconds: float = 0.0,
    connections: int = 100,
    takes_degraded: bool = False,
    is_timed: bool = False,
) -> AsyncIterator[Scorer]:
    """Yield a scorer that sends requests to a URL.

    Args:
        url: that of the server, or of an endpoint.
        api: the API of the server.
        options: further fields of its requests.
        api_key: the key of the API, if there is one.
        retry_seconds: the time for which a request is tried again, see `retried`.
        connections: maximum number of open connections.
        takes_degraded: whether replies count that the model did not score as a whole; a figure
            about a model must hold none.
        is_timed: whether every score is computed, and none comes from the gateway's cache.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {**api.request_headers(api_key), **(_NO_CACHE if is_timed else {})}
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(
        timeout=timeout, headers=headers, connector=connector
    ) as session:
        yield RemoteScorer(
            session,
            complete_url(url),
            api,
            options,
            retry_seconds=retry_seconds,
            takes_degraded=takes_degraded,
        )


class RemoteScorer:
    """Scores by requests over HTTP."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        api: ClientApi,
        options: Mapping[str, Any],
        *,
        retry_seconds: float,
        takes_degraded: bool,
    ) -> None:
        self._session = session
        self._url = api.url(url)
        self._base = api.base(url)
        self._is_endpoint = is_endpoint(url)
        self._api = api
        self._options = {key: value for key, value in options.items() if value is not None}
        self._retry_seconds = retry_seconds
        self._takes_degraded = takes_degraded
        self._has_answered = False
        self._takes_parts: bool | None = None  # until the server is asked
        self.warnings: dict[str, None] = {}

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        """Send one request; raises `Refused` or `Unreachable`."""
        raw = await self._post(self._url, self._api.body(query, documents))
        return self._parse(raw, self._api, len(documents))

    async def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score pairs of query and document in one request; raises `Refused` or `Unreachable`."""
        api = CLIENT_APIS["pairs"]
        body = {"pairs": [{"query": query, "passage": document} for query, document in pairs]}
        return self._parse(await self._post(api.url(self._base), body), api, len(pairs))

    async def takes_pairs(self) -> bool:
        """Return whether the server is a gateway, which was not asked for a certain endpoint.

        A cascade ranks lists, and pairs are none.
        """
        if self._is_endpoint or self._api is not CLIENT_APIS["jina"]:
            return False
        try:
            cards = await self._cards()
            is_gateway = all(card["owned_by"] == OWNER for card in cards)
            return is_gateway and not _is_cascade(self._card(cards))
        except Refused:
            return False

    async def takes_parts(self) -> bool:
        """Return whether the model is none of a gateway's cascades; the server is asked once."""
        if self._takes_parts is None:
            try:
                self._takes_parts = not _is_cascade(self._card(await self._cards()))
            except Refused:
                self._takes_parts = True
        return self._takes_parts

    async def identity(self) -> ModelIdentity:
        """Return the model by the server's list of models; raises `Refused` without a list."""
        card = self._card(await self._cards())
        if card is None:
            wanted = self._options.get("model") or "a default model"
            raise Refused(f"{self._models_url} does not list {wanted}")
        if models := card.get("cascade"):
            raise Refused(
                f"{card['id']!r} is a cascade: name one of its models, {' or '.join(models)}"
            )
        return ModelIdentity(card["id"], card.get("weights", ""))

    def _card(self, cards: Sequence[Any]) -> Any:
        """Return the card of the model, None if it is not listed; raises `Refused`."""
        wanted = self._options.get("model")
        try:
            for card in cards:
                names = (card["id"], *card["aliases"])
                if wanted in names or (wanted is None and card["default"]):
                    return card
        except (LookupError, TypeError) as error:
            raise Refused(f"{self._models_url} lists no models ({error!r})") from None
        return None

    @property
    def _models_url(self) -> str:
        return f"{self._base}/v1/models"

    async def _cards(self) -> list[Any]:
        """Return the server's list of models; raises `Refused` without one."""
        try:
            async with self._session.get(self._models_url) as reply:
                return list(orjson.loads(await reply.read())["data"])
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
            raise Refused(f"{self._models_url} lists no models ({error!r})") from None

    async def _post(self, url: str, body: Mapping[str, Any]) -> bytes:
        """Return the reply to a request; raises `Refused` or `Unreachable`."""
        raw = orjson.dumps({**body, **self._options})
        return await retried(partial(self._post_once, url, raw), self._retry_seconds)

    async def _post_once(self, url: str, body: bytes) -> bytes:
        """Send a request once; raises `TemporaryFailure` where another try may help."""
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(url, data=io.BytesIO(body), headers=headers) as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            await self._raise_unreachable(error, url)
        self._has_answered = True
        if warning := reply.headers.get("x-gateway-warning"):
            self._warn(warning)
        if reply.status == 200:
            if (degraded := reply.headers.get("x-gateway-degraded")) and not self._takes_degraded:
                raise Refused(f"{url} answered, but the model did not score all: {degraded}")
            return raw
        message = f"{url} answered {reply.status}: {_error_message(raw)}"
        if reply.status in RETRIED_STATUSES:
            after = retry_after_seconds(reply.headers.get("retry-after"), datetime.now(UTC))
            raise TemporaryFailure(Refused(message), after)
        raise (RunRefused if reply.status in _RUN_STATUSES else Refused)(message)

    async def _raise_unreachable(self, error: Exception, url: str) -> NoReturn:
        """Raise the failure of a connection; a temporary one if the server answered before."""
        reason = await connection_problem(error, url) if str(error) else "no answer in time"
        failure = Unreachable(f"{url} cannot be reached: {reason}")
        is_lost = isinstance(error, aiohttp.ClientConnectionError) and not tls_problem(error, url)
        if self._has_answered and is_lost:
            raise TemporaryFailure(failure)
        raise failure

    def _warn(self, warning: str) -> None:
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings[warning] = None

    def _parse(self, raw: bytes, api: ClientApi, count: int) -> list[Score]:
        """Return the scores of so many documents from the body of a reply."""
        try:
            reply = orjson.loads(raw)
            scores = api.scores(reply)
            details = api.details(reply) if self._options.get("return_details") else {}
            return [
                Score(scores[index], scores[index], details.get(index, NO_DETAILS))
                for index in range(count)
            ]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Refused(
                f"{self._url} answered, but not with a score for each document in this API "
                f"({error!r}): is it the right --dialect?"
            ) from None


def _error_message(raw: bytes) -> str:
    """Return the message of an error reply, whatever its shape."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:500].decode(errors="replace")
    if isinstance(found, dict):
        for key in ("message", "detail", "error"):
            inner = found.get(key)
            if isinstance(inner, dict):
                inner = inner.get("message")
            if isinstance(inner, str):
                return inner
    return str(found)[:500]


def _is_cascade(card: Mapping[str, Any] | None) -> bool:
    return bool(card and card.get("cascade"))
