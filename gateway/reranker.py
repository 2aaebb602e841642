"""The use case: a request in, a ranked result out.

The documents are cut into jobs (`parts`). All jobs are scored at once, wherever there is room; their
margins are put back in input order, sorted and cut. A result is whole or there is none: the first job
that fails ends the others.
"""

import asyncio
import time
from collections.abc import Sequence

from gateway.admission import Ask
from gateway.domain import (
    ANYONE,
    Caller,
    RerankRequest,
    RerankResult,
    rank,
)
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    ModelUnavailable,
)
from gateway.faults import QUARANTINED, PairFault, told
from gateway.fleet import Fleet
from gateway.metrics import Metrics
from gateway.model import Model
from gateway.notes import limit, notes, ties
from gateway.parts import Part, merge, split
from gateway.shadows import Shadows
from gateway.timeline import Timeline
from shards.wire.messages import Scores

_RETRY_SECONDS = 2


class Reranker:
    """Scores requests on the models of a fleet; `shadows` see what they are."""

    def __init__(self, fleet: Fleet, shadows: Shadows | None = None) -> None:
        self._fleet = fleet
        self._shadows = shadows or Shadows(fleet, Metrics())

    async def rerank(
        self,
        request: RerankRequest,
        *,
        request_id: str,
        deadline: float,
        model: str | None = None,
        caller: Caller = ANYONE,
        timeline: Timeline | None = None,
        note: str = "",
    ) -> RerankResult:
        """Score a request.

        Args:
            request: what to score.
            request_id: becomes the result's id.
            deadline: `time.monotonic()` seconds after which nobody wants the answer.
            model: which one scores; `None` for the one that the request names.
            caller: whose turn it takes in line.
            timeline: where it is noted what its jobs took, as they are answered.
            note: what the client is told of how this model was chosen; empty to say what is plain.

        Raises:
            GatewayError: why there is no result.
        """
        started = time.monotonic()
        scoring = self._fleet.model(self._fleet.resolve(model or request.model))
        _refuse_quarantined(request, scoring, started)
        parts = list(split(request, scoring, deadline, caller, timeline))
        name = scoring.spec.name
        with (
            scoring.admitted(_ask(parts, deadline - started)),
            self._shadows.making_way(name),
        ):
            try:
                async with asyncio.timeout(deadline - started):
                    answers = await _gather(scoring, parts, request)
            except TimeoutError:
                raise _too_late(scoring, round(deadline - started, 3)) from None
        scored = merge(parts, answers, scoring.spec.scale)
        tied = ties(request, scored)
        scoring.note_result(scored, tied)
        is_confined = scoring.quarantine.confines(caller.id, time.monotonic())
        compute_seconds = sum(scores.compute_ns for scores in answers) / 1e9
        self._shadows.saw(request, scoring.spec, scored, compute_seconds)
        return RerankResult(
            id=request_id,
            model=name,
            scored=scored,
            top=rank(scored, request.top_n),
            processing_seconds=time.monotonic() - started,
            created=int(time.time()),
            warnings=notes(request, scored, scoring.spec, scoring.facts, tied, note, is_confined),
            saved_tokens=sum(scores.saved_tokens for scores in answers),
        )


def _ask(parts: Sequence[Part], remaining_seconds: float) -> Ask:
    return Ask(
        tokens=sum(part.job.tokens for part in parts),
        is_small=parts[0].job.is_small,
        caller=parts[0].job.caller,
        remaining_seconds=remaining_seconds,
    )


async def _gather(model: Model, parts: Sequence[Part], request: RerankRequest) -> list[Scores]:
    """Score all jobs at once; the first error ends the others."""
    if len(parts) == 1:
        return [await _score(model, parts[0], request)]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_score(model, part, request)) for part in parts]
    except ExceptionGroup as group:
        raise _first(group) from None
    return [task.result() for task in tasks]


async def _score(model: Model, part: Part, request: RerankRequest) -> Scores:
    try:
        return await model.score(part.job)
    except PairFault as fault:
        index = part.indices[fault.place]
        raise told(fault, request, index, limit(request, model.facts)) from None


def _refuse_quarantined(request: RerankRequest, model: Model, now: float) -> None:
    """Refuse a request with a pair that is known to end shards, before it reaches one."""
    if not model.quarantine:
        return
    for index, document in enumerate(request.documents):
        query = request.queries[index if len(request.queries) > 1 else 0]
        if model.quarantine.is_refused(query, document.text, now):
            raise told(PairFault(QUARANTINED, index), request, index, "")


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group, however deep it lies."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _too_late(model: Model, seconds: float) -> GatewayError:
    if not model.ready_replicas:
        return ModelUnavailable(
            f"model {model.spec.name!r} did not become ready within {seconds:g} s: try again, or "
            "allow more time with the header X-Request-Timeout-Ms",
            retry_after_seconds=_RETRY_SECONDS,
        )
    return DeadlineExceeded(
        f"the scores did not come within {seconds:g} s: send fewer or shorter documents, or "
        "allow more time with the header X-Request-Timeout-Ms"
    )
