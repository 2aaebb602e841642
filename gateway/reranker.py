"""The use case: a request in, a ranked result out.

The documents are split into jobs of like length (so that batches hold little padding), small enough
that all replicas get their share of a large request and that no job blocks a shard for long. All
jobs are scored at once, wherever there is room; their margins are put back in input order, sorted
and cut. A result is whole or there is none: the first job that fails ends the others.
"""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.admission import Ask
from gateway.domain import (
    ANYONE,
    Caller,
    LongDocuments,
    RerankRequest,
    RerankResult,
    Scored,
    rank,
)
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    ModelUnavailable,
)
from gateway.faults import QUARANTINED, PairFault, told
from gateway.fleet import Fleet
from gateway.job import Job
from gateway.model import Model
from gateway.notes import limit, notes, ties
from gateway.timeline import Timeline
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Scores

_SMALLEST_JOB_TOKENS = 512  # below it, splitting costs more than it gains
_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """A job, and the documents of the request it holds."""

    job: Job
    indices: Sequence[int]


class Reranker:
    """Scores requests on the models of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

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
        parts = list(_split(request, scoring, deadline, caller, timeline))
        with scoring.admitted(_ask(parts, deadline - started)):
            try:
                async with asyncio.timeout(deadline - started):
                    answers = await _gather(scoring, parts, request)
            except TimeoutError:
                raise _too_late(scoring, round(deadline - started, 3)) from None
        scored = _merge(parts, answers)
        tied = ties(request, scored)
        scoring.note_result(scored, tied)
        return RerankResult(
            id=request_id,
            model=scoring.spec.name,
            scored=scored,
            top=rank(scored, request.top_n),
            processing_seconds=time.monotonic() - started,
            created=int(time.time()),
            warnings=notes(request, scored, scoring.spec, scoring.facts, tied, note),
            saved_tokens=sum(scores.saved_tokens for scores in answers),
        )


def _ask(parts: Sequence[_Part], remaining_seconds: float) -> Ask:
    return Ask(
        tokens=sum(part.job.tokens for part in parts),
        is_small=parts[0].job.is_small,
        caller=parts[0].job.caller,
        remaining_seconds=remaining_seconds,
    )


def _split(
    request: RerankRequest,
    model: Model,
    deadline: float,
    caller: Caller = ANYONE,
    timeline: Timeline | None = None,
) -> Iterator[_Part]:
    """Cut a request into jobs."""
    timeline = timeline or Timeline()
    texts = [len(document.text.encode()) for document in request.documents]
    queries = [len(query.encode()) for query in request.queries]
    extra = len((request.instruction or "").encode())
    asked = [extra + query for query in (queries if len(queries) > 1 else queries * len(texts))]
    per_pair = [ask + text for ask, text in zip(asked, texts, strict=True)]
    reading = request.reading(model.spec.long_documents)
    costs = _costs(request, model, reading, asked, texts)
    total = sum(costs)
    most = _job_tokens(total, model)
    order = sorted(range(len(texts)), key=texts.__getitem__)
    for indices in _chunks(order, costs, per_pair, most):
        yield _Part(
            Job(
                queries=_pick(request.queries, indices),
                documents=tuple(request.documents[index].text for index in indices),
                instruction=request.instruction or "",
                max_document_tokens=request.max_tokens_per_doc or 0,
                tokens=sum(costs[index] for index in indices),
                text_bytes=sum(per_pair[index] for index in indices),
                wire_bytes=sum(per_pair[index] + 8 for index in indices) + 256,
                is_small=total <= model.token_budget,
                deadline_ns=int(deadline * 1e9),
                keep_end=request.keep_end,
                reading=reading,
                caller=caller,
                timeline=timeline,
            ),
            indices,
        )


def _costs(
    request: RerankRequest,
    model: Model,
    reading: LongDocuments,
    asked: Sequence[int],
    texts: Sequence[int],
) -> list[int]:
    """Return what each document should cost in tokens, for so many bytes that are asked and read."""
    if reading.policy != "passages":
        return [model.estimate.tokens(ask + text) for ask, text in zip(asked, texts, strict=True)]
    return [
        model.estimate.tokens_in_passages(
            asked_bytes=ask,
            document_bytes=text,
            reading=reading,
            most_tokens=request.max_tokens_per_doc or 0,
        )
        for ask, text in zip(asked, texts, strict=True)
    ]


def _job_tokens(tokens: int, model: Model) -> int:
    """How large a job may be: every replica its share, at most a batch, at least worth the trip."""
    share = math.ceil(tokens / max(1, model.ready_replicas))
    return max(_SMALLEST_JOB_TOKENS, min(share, model.token_budget))


def _chunks(
    order: Sequence[int], costs: Sequence[int], sizes: Sequence[int], most_tokens: int
) -> Iterator[list[int]]:
    chunk: list[int] = []
    tokens = size = 0
    for index in order:
        tokens += costs[index]
        size += sizes[index]
        is_full = tokens > most_tokens or size > MAX_JOB_BYTES or len(chunk) == MAX_JOB_DOCUMENTS
        if chunk and is_full:
            yield chunk
            chunk, tokens, size = [], costs[index], sizes[index]
        chunk.append(index)
    yield chunk


def _pick(queries: tuple[str, ...], indices: Sequence[int]) -> tuple[str, ...]:
    return queries if len(queries) == 1 else tuple(queries[index] for index in indices)


async def _gather(model: Model, parts: Sequence[_Part], request: RerankRequest) -> list[Scores]:
    """Score all jobs at once; the first error ends the others."""
    if len(parts) == 1:
        return [await _score(model, parts[0], request)]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_score(model, part, request)) for part in parts]
    except ExceptionGroup as group:
        raise _first(group) from None
    return [task.result() for task in tasks]


async def _score(model: Model, part: _Part, request: RerankRequest) -> Scores:
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


def _merge(parts: Sequence[_Part], answers: Sequence[Scores]) -> tuple[Scored, ...]:
    """Put the scores of all jobs back in input order."""
    scored: list[Scored] = []
    for part, scores in zip(parts, answers, strict=True):
        cut = set(scores.truncated)
        scored += [
            _scored(scores, place, index, truncated=place in cut)
            for place, index in enumerate(part.indices)
        ]
    scored.sort(key=lambda one: one.index)
    return tuple(scored)


def _scored(scores: Scores, place: int, index: int, *, truncated: bool) -> Scored:
    margin, tokens = scores.margins[place], scores.tokens[place]
    if not scores.passages:
        return Scored(index, margin, tokens, truncated)
    span = (scores.starts[place], scores.ends[place])
    return Scored(index, margin, tokens, truncated, scores.passages[place], span)


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
