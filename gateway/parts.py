"""A request cut into jobs, and their answers put together again. Pure.

Jobs hold documents of like length (so that batches hold little padding); they are small enough that all
replicas get their share of a large request, and that no job blocks a shard for long. A query that its
documents share is counted once for each replica, with the first jobs, and does not make jobs smaller.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain import (
    ANYONE,
    UNCALIBRATED,
    Calibration,
    Caller,
    LongDocuments,
    RerankRequest,
    Scored,
)
from gateway.job import Job
from gateway.model import Model
from gateway.timeline import Timeline
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Scores

_SMALLEST_JOB_TOKENS = 512  # below it, splitting costs more than it gains


@dataclass(frozen=True, slots=True)
class Part:
    """A job, and the documents of the request it holds."""

    job: Job
    indices: Sequence[int]


def split(
    request: RerankRequest,
    model: Model,
    deadline: float,
    caller: Caller = ANYONE,
    timeline: Timeline | None = None,
    *,
    most_tokens: int | None = None,
) -> Iterator[Part]:
    """Cut a request into jobs; of at most so many tokens, or a document, where that is said."""
    timeline = timeline or Timeline()
    texts = [len(document.text.encode()) for document in request.documents]
    queries = [len(query.encode()) for query in request.queries]
    extra = len((request.instruction or "").encode())
    asked = [extra + query for query in (queries if len(queries) > 1 else queries * len(texts))]
    per_pair = [ask + text for ask, text in zip(asked, texts, strict=True)]
    reading = request.reading(model.spec.long_documents)
    is_shared = len(queries) == 1 and model.estimate.shares_queries
    costs = _costs(request, model, reading, asked, texts, is_shared=is_shared)
    total = sum(costs)
    most = most_tokens or _job_tokens(total, model)
    query = model.estimate.text_tokens(asked[0]) if is_shared else 0
    order = sorted(range(len(texts)), key=texts.__getitem__)
    for place, indices in enumerate(_chunks(order, costs, per_pair, most)):
        computed = query if place < max(1, model.ready_replicas) else 0
        yield Part(
            Job(
                queries=_pick(request.queries, indices),
                documents=tuple(request.documents[index].text for index in indices),
                instruction=request.instruction or "",
                max_document_tokens=request.max_tokens_per_doc or 0,
                tokens=computed + sum(costs[index] for index in indices),
                text_bytes=sum(per_pair[index] for index in indices),
                wire_bytes=sum(per_pair[index] + 8 for index in indices) + 256,
                is_small=query + total <= model.token_budget,
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
    *,
    is_shared: bool,
) -> list[int]:
    """Return what each document should cost in tokens, for so many bytes that are asked and read."""
    if reading.policy != "passages":
        paid = [0] * len(asked) if is_shared else asked
        return [model.estimate.tokens(ask + text) for ask, text in zip(paid, texts, strict=True)]
    return [
        model.estimate.tokens_in_passages(
            asked_bytes=ask,
            document_bytes=text,
            reading=reading,
            most_tokens=request.max_tokens_per_doc or 0,
            is_shared=is_shared,
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


def merge(
    parts: Sequence[Part], answers: Sequence[Scores], scale: Calibration = UNCALIBRATED
) -> tuple[Scored, ...]:
    """Put the scores of all jobs back in input order, where margins mean this."""
    scored: list[Scored] = []
    for part, scores in zip(parts, answers, strict=True):
        cut = set(scores.truncated)
        scored += [
            _scored(scores, place, index, scale, truncated=place in cut)
            for place, index in enumerate(part.indices)
        ]
    scored.sort(key=lambda one: one.index)
    return tuple(scored)


def _scored(
    scores: Scores, place: int, index: int, scale: Calibration, *, truncated: bool
) -> Scored:
    margin, tokens = scores.margins[place], scores.tokens[place]
    if not scores.passages:
        return Scored(index, margin, tokens, truncated, calibration=scale)
    span = (scores.starts[place], scores.ends[place])
    return Scored(index, margin, tokens, truncated, scores.passages[place], span, scale)
