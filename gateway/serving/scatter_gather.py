"""Scatter and gather: a request cut into jobs, and their answers put together. Pure.

A job holds documents of like length, so that batches hold little padding. Jobs are small enough
that all replicas get their share of a large request, and that no job blocks a shard for long. A
query that its documents share is counted once for each replica, with the first jobs, and does not
make jobs smaller.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.errors import GatewayError
from gateway.domain.job import Job
from gateway.domain.pair_faults import PairFault, client_error
from gateway.domain.request import (
    ANONYMOUS,
    UNCALIBRATED,
    Calibration,
    Caller,
    Encoding,
    LongDocuments,
    RerankRequest,
    Scored,
)
from gateway.domain.timeline import Timeline
from gateway.scheduling.token_estimate import Capacity, TokenEstimate
from gateway.serving.result_warnings import limit
from shards.wire.facts import Facts
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Score, Scores

_SMALLEST_JOB_TOKENS = 512  # below it, splitting costs more than it gains
_NO_ENCODING = Encoding(side="")
_MESSAGE_BYTES, _DOCUMENT_BYTES = 256, 12  # of a message beside its texts, and beside each of them


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes of a request, by document.

    Attributes:
        texts: UTF-8 bytes of the document.
        pairs: the same with query and instruction.
        tokens: the estimated cost.
        query_tokens: the cost of a query that all documents share; 0 where each pays for its own.
    """

    texts: Sequence[int]
    pairs: Sequence[int]
    tokens: Sequence[int]
    query_tokens: int


def scatter(
    request: RerankRequest,
    capacity: Capacity,
    deadline: float,
    caller: Caller = ANONYMOUS,
    timeline: Timeline | None = None,
    *,
    indices: Sequence[int] | None = None,
    most_tokens: int | None = None,
    piece_tokens: int | None = None,
) -> list[Job]:
    """Cut a request into jobs.

    Args:
        request: the request.
        capacity: that of the model that is to score it.
        deadline: monotonic seconds.
        caller: the caller whose turn the jobs take in the queue.
        timeline: the record of the times of its jobs.
        indices: the documents to score; `None` for all.
        most_tokens: the most tokens of a job, which has one document at least; `None` for as many
            as suit the model.
        piece_tokens: the most tokens of a job of a request that is answered in part: its jobs then
            hold the documents in their order, the first ones first. `None` for other requests.
    """
    timeline = timeline or Timeline()
    reading = request.reading(capacity.long_documents)
    chosen = range(len(request.documents)) if indices is None else indices
    if len(chosen) < len(request.documents):
        request = request.only(chosen)
    sizes = _sizes(request, capacity.estimate, reading)
    total = sum(sizes.tokens)
    is_small = sizes.query_tokens + total <= capacity.token_budget
    jobs: list[Job] = []
    most = most_tokens or _job_tokens(total, capacity)
    in_order = piece_tokens is not None
    for places in _chunks(sizes, min(most, piece_tokens or most), in_order=in_order):
        computed = sizes.query_tokens if len(jobs) < max(1, capacity.replicas) else 0
        text_bytes = sum(sizes.pairs[place] for place in places)
        job = Job(
            payload=_payload(request, reading, places, deadline),
            indices=[chosen[place] for place in places],
            tokens=computed + sum(sizes.tokens[place] for place in places),
            text_bytes=text_bytes,
            wire_bytes=text_bytes + _DOCUMENT_BYTES * len(places) + _MESSAGE_BYTES,
            is_small=is_small,
            caller=caller,
            timeline=timeline,
        )
        jobs.append(job)
    return jobs


def is_small(request: RerankRequest, capacity: Capacity) -> bool:
    """Return whether the jobs of a whole request would be small ones, see `queue`."""
    sizes = _sizes(request, capacity.estimate, request.reading(capacity.long_documents))
    return sizes.query_tokens + sum(sizes.tokens) <= capacity.token_budget


def cost(request: RerankRequest, capacity: Capacity, indices: Sequence[int]) -> int:
    """Return the estimated cost of some documents of a request, in tokens."""
    part = request.only(indices)
    sizes = _sizes(part, capacity.estimate, part.reading(capacity.long_documents))
    return sizes.query_tokens + sum(sizes.tokens)


def _payload(
    request: RerankRequest, reading: LongDocuments, indices: Sequence[int], deadline: float
) -> Score:
    """Return the message that has these documents scored; it gets a job id when it is sent."""
    queries, encoding = request.queries, request.encoding or _NO_ENCODING
    return Score(
        job=0,
        deadline_ns=int(deadline * 1e9),
        max_document_tokens=request.max_tokens_per_doc or 0,
        instruction=request.instruction or "",
        queries=queries if len(queries) == 1 else tuple(queries[index] for index in indices),
        documents=tuple(request.documents[index].text for index in indices),
        keep_end=request.keep_end,
        refuse_truncation=reading.policy == "error",
        in_passages=reading.policy == "passages",
        most_passages=reading.most_passages,
        passage_tokens=reading.passage_tokens,
        passage_overlap=reading.passage_overlap,
        pool_best=reading.pool_best,
        max_pair_tokens=request.max_tokens_per_pair or 0,
        max_query_tokens=request.max_tokens_per_query or 0,
        instructions=tuple(map(request.instruction_of, indices)) if request.instructions else (),
        side=encoding.side,
        dimensions=encoding.dimensions,
        unit_vectors=encoding.is_unit,
    )


def _sizes(request: RerankRequest, estimate: TokenEstimate, reading: LongDocuments) -> _Sizes:
    """Measure the documents of a request, and estimate their cost."""
    texts = [len(document.text.encode()) for document in request.documents]
    queries = [len(query.encode()) for query in request.queries]
    is_one = len(queries) == 1
    asked = [
        query + instruction
        for query, instruction in zip(
            queries * len(texts) if is_one else queries,
            _instruction_bytes(request, len(texts)),
            strict=True,
        )
    ]
    pairs = [ask + text for ask, text in zip(asked, texts, strict=True)]
    is_shared = is_one and estimate.shares_queries
    if reading.policy != "passages":
        tokens = [estimate.tokens(size) for size in (texts if is_shared else pairs)]
    else:
        tokens = [
            estimate.tokens_in_passages(
                asked_bytes=ask,
                document_bytes=text,
                reading=reading,
                most_tokens=request.max_tokens_per_doc or 0,
                is_shared=is_shared,
            )
            for ask, text in zip(asked, texts, strict=True)
        ]
    return _Sizes(texts, pairs, tokens, estimate.text_tokens(asked[0]) if is_shared else 0)


def _instruction_bytes(request: RerankRequest, pairs: int) -> list[int]:
    if not request.instructions:
        return [len((request.instruction or "").encode())] * pairs
    return [len(request.instruction_of(index).encode()) for index in range(pairs)]


def _job_tokens(tokens: int, capacity: Capacity) -> int:
    """Return the most tokens of a job: a replica's share, a batch at most, worth the trip."""
    share = math.ceil(tokens / max(1, capacity.replicas))
    return max(_SMALLEST_JOB_TOKENS, min(share, capacity.token_budget))


def _chunks(sizes: _Sizes, most_tokens: int, *, in_order: bool) -> Iterator[list[int]]:
    """Yield the places of the documents of each job: short documents first, or in their order."""
    places = range(len(sizes.texts))
    chunk: list[int] = []
    tokens = size = 0
    for index in places if in_order else sorted(places, key=sizes.texts.__getitem__):
        tokens += sizes.tokens[index]
        size += sizes.pairs[index]
        is_full = tokens > most_tokens or size > MAX_JOB_BYTES or len(chunk) == MAX_JOB_DOCUMENTS
        if chunk and is_full:
            yield chunk
            chunk, tokens, size = [], sizes.tokens[index], sizes.pairs[index]
        chunk.append(index)
    yield chunk


def gather(
    jobs: Sequence[Job], answers: Sequence[Scores], scale: Calibration
) -> tuple[Scored, ...]:
    """Return the scores of all documents in input order; `scale` turns margins into scores."""
    scored: list[Scored] = []
    for job, scores in zip(jobs, answers, strict=True):
        scored += scored_of(job, scores, scale)
    scored.sort(key=lambda one: one.index)
    return tuple(scored)


def scored_of(job: Job, scores: Scores, scale: Calibration = UNCALIBRATED) -> list[Scored]:
    """Return the scores of the documents of one job, in its order."""
    cut = set(scores.truncated)
    return [
        _scored(scores, place, index, scale, truncated=place in cut)
        for place, index in enumerate(job.indices)
    ]


def _scored(
    scores: Scores, place: int, index: int, scale: Calibration, *, truncated: bool
) -> Scored:
    margin, tokens = scores.margins[place], scores.tokens[place]
    if not scores.passages:
        return Scored(index, margin, tokens, truncated, calibration=scale)
    span = (scores.starts[place], scores.ends[place])
    return Scored(index, margin, tokens, truncated, scores.passages[place], span, scale)


def rank(scored: Sequence[Scored], top_n: int | None) -> tuple[Scored, ...]:
    """Return the best `top_n` documents (all if `None`): by margin, ties by index."""
    order = sorted(scored, key=lambda document: (-document.margin, document.index))
    return tuple(order if top_n is None else order[:top_n])


def pair_error(
    fault: PairFault, request: RerankRequest, job: Job, facts: Facts | None
) -> GatewayError:
    """Return the error that a client gets for a pair of one of its jobs."""
    return client_error(fault, request, job.indices[fault.place], limit(request, facts))
