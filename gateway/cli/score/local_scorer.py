"""A scorer with shards of its own: fleet and reranker in this process, without HTTP."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from gateway.cli.score.scorer import (
    MOST_WARNINGS,
    TIMEOUT_SECONDS,
    DocumentOptions,
    ModelIdentity,
    Refused,
    Score,
    Scorer,
)
from gateway.config import model_specs
from gateway.dialects.reply_fields import Details, result_details
from gateway.domain.errors import GatewayError
from gateway.domain.request import Document, RerankRequest
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.domain.request import Policy


@asynccontextmanager
async def local_scorer(
    settings: "Settings", model: str, instruction: str | None, options: DocumentOptions
) -> AsyncIterator[Scorer]:
    """Yield a scorer whose shards start and end with it."""
    metrics = Metrics()
    fleet = Fleet(model_specs(settings), FleetPolicy.of(settings), metrics)
    reranker = Reranker(Shadows(fleet, metrics), ScoreCache(0, 1))
    await fleet.start()
    try:
        yield LocalScorer(fleet, reranker, model, instruction, options)
    finally:
        await fleet.stop()


class LocalScorer:
    """Scores with the shards of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        reranker: Reranker,
        model: str,
        instruction: str | None,
        options: DocumentOptions,
    ) -> None:
        self._fleet = fleet
        self._reranker = reranker
        self._model = model
        self._instruction = instruction
        self._options = options
        self.warnings: dict[str, None] = {}
        self._requests = 0

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        """Score the documents of one request; raises `Refused`."""
        return await self._score((query,), documents)

    async def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score pairs of query and document in one request; raises `Refused`."""
        return await self._score(*map(tuple, zip(*pairs, strict=True)))

    async def takes_parts(self) -> bool:
        """Return that a score depends on its own query and document only."""
        return True

    async def takes_pairs(self) -> bool:
        """Return true: the fleet takes one query for each document."""
        return True

    async def _score(self, queries: tuple[str, ...], documents: Sequence[str]) -> list[Score]:
        request = RerankRequest(
            queries=queries,
            documents=tuple(map(Document, documents)),
            model=self._model,
            instruction=self._instruction,
            long_documents=self._policy,
            most_passages=self._options.max_passages,
            return_details=self._options.details,
        )
        self._requests += 1
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            model = self._fleet.model(self._fleet.resolve(self._model))
            result = await self._reranker.rerank(
                request, model=model, request_id=f"local-{self._requests}", deadline=deadline
            )
        except GatewayError as error:
            # The user of a command is its operator, and has no gateway whose status has the cause.
            raise Refused(error.cause or error.message) from None
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings |= dict.fromkeys(result.warnings)
        return [
            Score(
                scored.relevance_score,
                scored.margin,
                msgspec.to_builtins(Details(**result_details(request, scored))),
            )
            for scored in result.scored
        ]

    async def identity(self) -> ModelIdentity:
        """Return the model, whose weights are known once it has scored."""
        (status,) = self._fleet.status()
        return ModelIdentity(status.name, status.weights)

    @property
    def _policy(self) -> "Policy | None":
        """The policy for long documents; a limit of passages implies passages."""
        options = self._options
        return options.long_documents or ("passages" if options.max_passages else None)
