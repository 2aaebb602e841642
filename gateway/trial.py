"""Whether a new edition may serve: all its shards become ready, and each answers a job.

A shard is ready when its own canaries have passed; the job shows that the way to it and back works.

Until it has passed, an edition has no name: no client can reach it, and no health check sees it.
"""

import asyncio
import time

from gateway.errors import GatewayError
from gateway.faults import PairFault
from gateway.job import Job
from gateway.model import Model
from gateway.replica import ReplicaLost

_LOOK_SECONDS = 0.05
_PROBE = ("Does it answer?", "It does.")


class EditionFailed(Exception):
    """A new edition may not serve; the message names the model and says why."""


async def pass_trial(model: Model, seconds: float) -> None:
    """Wait until an edition may serve.

    Raises:
        EditionFailed: a shard was given up, the job was not answered, or time has run out.
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
    while not model.is_complete:
        if model.failure:
            raise _failed(model, model.failure)
        await asyncio.sleep(_LOOK_SECONDS)


async def _answers(model: Model, deadline: float) -> bool:
    """Have every shard score a pair, idle ones get a job each; false if one was lost at it."""
    await _until_complete(model)
    try:
        await asyncio.gather(*[model.probe(_job(model, deadline)) for _ in model.spec.shards])
    except ReplicaLost:
        return False
    except (GatewayError, PairFault) as error:
        raise _failed(model, f"it cannot score a pair: {error}") from error
    return True


def _job(model: Model, deadline: float) -> Job:
    query, document = _PROBE
    size = len(query) + len(document)
    return Job(
        queries=(query,),
        documents=(document,),
        instruction="",
        max_document_tokens=0,
        tokens=model.estimate.tokens(size),
        text_bytes=size,
        wire_bytes=size + 256,
        is_small=True,
        deadline_ns=int(deadline * 1e9),
    )


def _last_errors(model: Model) -> str:
    return f" ({model.last_errors})" if model.last_errors else ""


def _failed(model: Model, why: str) -> EditionFailed:
    return EditionFailed(f"model {model.spec.name!r}: {why}")
