"""The check of a new revision: all its shards become ready, and each answers a job.

A shard is ready when its own canaries have passed; the job proves the way to the shard and back.

Until it has passed, a revision has no name: no client can reach it, and no health check sees it.
"""

import asyncio
import time

from gateway.domain.errors import GatewayError
from gateway.domain.job import Job
from gateway.domain.pair_faults import PairFault
from gateway.domain.request import Document, RerankRequest
from gateway.scheduling.model import Model
from gateway.serving.scatter_gather import scatter
from gateway.supervision.replica import ReplicaLost

_LOOK_SECONDS = 0.05
_PROBE = RerankRequest(
    queries=("Does it answer?",), documents=(Document("It does."),), long_documents="truncate"
)


class RevisionFailed(Exception):
    """A new revision may not serve; the message names the model and the reason."""


async def check_revision(model: Model, seconds: float) -> None:
    """Wait until a revision may serve.

    Raises:
        RevisionFailed: a shard was given up, the job was not answered, or time has run out.
    """
    try:
        async with asyncio.timeout(seconds):
            while not await _answers(model, time.monotonic() + seconds):
                pass
    except TimeoutError:
        raise _failed(
            model,
            f"it is not ready after {seconds:g} s{_last_errors(model)}: raise "
            "supervision.reload_timeout_seconds if it needs longer",
        ) from None


async def _until_complete(model: Model) -> None:
    while not model.replicas.is_complete:
        if failure := model.replicas.failure:
            raise _failed(model, failure)
        if (wait := model.occupant.wait) and wait.is_for_ever:
            raise _failed(model, f"there is no room for it: {model.occupant.reason()}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _answers(model: Model, deadline: float) -> bool:
    """Have every shard score a pair (idle ones get a job each); return false if one is lost."""
    await _until_complete(model)
    try:
        await asyncio.gather(
            *[model.scorer.probe(_job(model, deadline)) for _ in model.spec.shards]
        )
    except ReplicaLost:
        return False
    except (GatewayError, PairFault) as error:
        raise _failed(model, f"it cannot score a pair: {error}") from error
    return True


def _job(model: Model, deadline: float) -> Job:
    (job,) = scatter(_PROBE, model.capacity, deadline)
    return job


def _last_errors(model: Model) -> str:
    return f" ({errors})" if (errors := model.replicas.last_errors) else ""


def _failed(model: Model, reason: str) -> RevisionFailed:
    return RevisionFailed(f"model {model.spec.name!r}: {reason}")
