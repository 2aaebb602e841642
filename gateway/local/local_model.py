"""A model whose shards belong to this process: fleet and reranker, without HTTP."""

import time
from itertools import count

from gateway.config import Settings, model_specs
from gateway.domain.errors import InternalError
from gateway.domain.request import RerankRequest, RerankResult
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.revision_check import check_revision
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.shadow_traffic import Shadows
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ModelStatus

_LONGEST_LOAD_SECONDS = 86_400.0  # a shard that makes no progress is given up long before


class LocalModel:
    """The only model of its settings, scored by the code of the server.

    Its methods run on one event loop, in one thread: shards end with the thread that started them.

    Args:
        settings: settings with one model.
        stops_process: whether the process is ended where supervision itself fails.
    """

    def __init__(self, settings: Settings, *, stops_process: bool = True) -> None:
        (self.name,) = settings.models
        metrics = Metrics()
        self._fleet = Fleet(model_specs(settings), FleetPolicy.of(settings), metrics)
        self._fleet.stops_process = stops_process
        self._reranker = Reranker(Shadows(self._fleet, metrics), ScoreCache(0, 1))
        self._numbers = count(1)

    async def start(self) -> None:
        """Start the shards; they load in the background."""
        await self._fleet.start()

    async def until_ready(self) -> None:
        """Wait until every shard serves; raises `RevisionFailed`."""
        await check_revision(self._fleet.model(self.name), _LONGEST_LOAD_SECONDS)

    async def stop(self) -> None:
        """Stop the shards and wait for their end."""
        await self._fleet.stop()

    async def rerank(self, request: RerankRequest, seconds: float) -> RerankResult:
        """Score a request within so many seconds; raises `GatewayError`."""
        if self._fleet.has_failed:
            raise InternalError("supervision of the shards failed: see the log, and make a new one")
        return await self._reranker.rerank(
            request,
            model=self._fleet.model(self.name),
            request_id=f"local-{next(self._numbers)}",
            deadline=time.monotonic() + seconds,
        )

    def status(self) -> ModelStatus:
        """Return a snapshot of the model."""
        (status,) = self._fleet.status()
        return status
