"""The vectors of texts: a request is cut into jobs as for scores, and each text is encoded alone.

Scores that are kept, shadows and fallbacks have no part in it: the vectors of another model mean
nothing beside those of this one. A shard keeps the vectors of texts that it has encoded lately.
"""

import asyncio
import time
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.domain.errors import InvalidRequest
from gateway.domain.job import Job
from gateway.domain.pair_faults import PairFault
from gateway.domain.request import (
    ANONYMOUS,
    UNCALIBRATED,
    Caller,
    Encoding,
    RerankRequest,
    RerankResult,
)
from gateway.domain.timeline import Timeline
from gateway.scheduling.admission import AdmissionRequest
from gateway.scheduling.model import Model
from gateway.serving.request_cleaning import clean
from gateway.serving.reranker import refuse_quarantined, too_late
from gateway.serving.result_warnings import warnings_of
from gateway.serving.scatter_gather import gather, pair_error, scatter
from gateway.serving.shadow_traffic import Shadows
from shards.wire.facts import Facts
from shards.wire.messages import Scores


class TextEncoder:
    """Encodes the texts of requests."""

    def __init__(self, shadows: Shadows) -> None:
        self._shadows = shadows

    async def encode(
        self,
        request: RerankRequest,
        *,
        model: Model,
        request_id: str,
        deadline: float,
        caller: Caller = ANONYMOUS,
        timeline: Timeline | None = None,
        note: str = "",
    ) -> RerankResult:
        """Return the vectors of a request's texts; the arguments are those of `Reranker.rerank`.

        Raises:
            GatewayError: why there are none.
        """
        started = time.monotonic()
        seconds = deadline - started
        cleaned = await clean(request, model.spec)
        request = cleaned.read
        refuse_quarantined(request, model, started)
        refuse_dimensions(request, model)
        if model.spec.long_documents.policy == "passages" and not request.long_documents:
            request = replace(request, long_documents="truncate")  # a vector has one text
        try:
            async with asyncio.timeout(seconds):
                jobs, answers = await self._encode(request, model, deadline, caller, timeline)
        except TimeoutError:
            raise too_late(model, round(seconds, 3)) from None
        refuse_dimensions(request, model)  # it may have been loading
        scored = gather(jobs, answers, UNCALIBRATED)
        model.accounting.texts_cleaned(cleaned.texts)
        is_confined = model.quarantine.confines(caller.id, time.monotonic())
        facts = model.replicas.facts
        warnings = warnings_of(request, scored, model.spec, facts, 0, note, is_confined)
        return RerankResult(
            id=request_id,
            model=model.spec.name,
            scored=scored,
            top=(),
            processing_seconds=time.monotonic() - started,
            created=int(time.time()),
            warnings=(*cleaned.warnings(), *warnings),
            saved_tokens=sum(answer.saved_tokens for answer in answers),
            vectors=_vectors(jobs, answers),
        )

    async def _encode(
        self,
        request: RerankRequest,
        model: Model,
        deadline: float,
        caller: Caller,
        timeline: Timeline | None,
    ) -> tuple[Sequence[Job], Sequence[Scores]]:
        """Return the jobs of a request and their answers; the first job that fails ends all."""
        with model.entered():
            await model.occupant.turn()
        jobs = scatter(request, model.capacity, deadline, caller, timeline)
        admission = AdmissionRequest(
            tokens=sum(job.tokens for job in jobs),
            is_small=jobs[0].is_small,
            caller=caller,
            remaining_seconds=max(0.0, deadline - time.monotonic()),
        )
        with model.admitted(admission), self._shadows.paused_for(model.spec.name):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_score(request, model, job)) for job in jobs]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
        return jobs, [task.result() for task in tasks]


async def _score(request: RerankRequest, model: Model, job: Job) -> Scores:
    try:
        return await model.scorer.score(job)
    except PairFault as fault:
        raise pair_error(fault, request, job, model.replicas.facts) from None


def refuse_dimensions(request: RerankRequest, model: Model) -> None:
    """Refuse vectors that are shorter than the model's, unless its checkpoint allows this size.

    Raises:
        InvalidRequest: the message has the sizes that it gives.
    """
    facts, asked = model.replicas.facts, (request.encoding or Encoding()).dimensions
    if facts is None or not facts.vector_width or asked in (0, facts.vector_width):
        return
    if asked in facts.vector_sizes or (facts.any_vector_size and asked < facts.vector_width):
        return
    raise InvalidRequest(
        f"dimensions is {asked}, and model {model.spec.name!r} gives {_sizes(facts)}",
        param="dimensions",
    )


def _sizes(facts: Facts) -> str:
    if facts.any_vector_size:
        return f"vectors of 1 to {facts.vector_width} numbers"
    sizes = ", ".join(map(str, sorted({*facts.vector_sizes, facts.vector_width})))
    only = "" if facts.vector_sizes else ": no file of its checkpoint says that they may be cut"
    return f"vectors of {sizes} numbers{only}"


def _vectors(jobs: Sequence[Job], answers: Sequence[Scores]) -> tuple[bytes, ...]:
    """Return the vectors of all texts, in input order."""
    found = [b""] * sum(len(job.indices) for job in jobs)
    for job, answer in zip(jobs, answers, strict=True):
        size = len(answer.vectors) // len(job.indices)
        for place, index in enumerate(job.indices):
            found[index] = answer.vectors[place * size : (place + 1) * size]
    return tuple(found)
