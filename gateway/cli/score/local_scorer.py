"""A scorer with shards of its own: a model in this process, without HTTP."""

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
from gateway.dialects.reply_fields import Details, result_details
from gateway.domain.errors import GatewayError
from gateway.domain.request import Document, RerankRequest
from gateway.local.local_model import LocalModel

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.domain.request import Policy


@asynccontextmanager
async def local_scorer(
    settings: "Settings", instruction: str | None, options: DocumentOptions
) -> AsyncIterator[Scorer]:
    """Yield a scorer whose shards start and end with it."""
    model = LocalModel(settings)
    await model.start()
    try:
        yield LocalScorer(model, instruction, options)
    finally:
        await model.stop()


class LocalScorer:
    """Scores with the shards of a model."""

    def __init__(
        self, model: LocalModel, instruction: str | None, options: DocumentOptions
    ) -> None:
        self._model = model
        self._instruction = instruction
        self._options = options
        self.warnings: dict[str, None] = {}

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
            model=self._model.name,
            instruction=self._instruction,
            long_documents=self._policy,
            most_passages=self._options.max_passages,
            return_details=self._options.details,
        )
        try:
            result = await self._model.rerank(request, TIMEOUT_SECONDS)
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
        status = self._model.status()
        return ModelIdentity(status.name, status.weights)

    @property
    def _policy(self) -> "Policy | None":
        """The policy for long documents; a limit of passages implies passages."""
        options = self._options
        return options.long_documents or ("passages" if options.max_passages else None)
