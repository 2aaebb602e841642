"""The jobs that a shard has accepted and not yet answered. Pure: time is passed in.

A job is open from its `Score` message to its one reply. Closing a job removes it from the table, so
it is neither answered twice nor forgotten.

A job of many passages may be as large as hundreds of batches. It is handed out in portions, the
next one when the last is scored, so that jobs which arrived meanwhile have their turn in between.
"""

import math
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from shards.cost import Work
from shards.pairs import Prefix
from shards.tokenize import Span
from shards.wire.messages import Score, Scores
from shards.worker.batcher import WaitingPair
from shards.worker.documents import TokenizedDocument


@dataclass(slots=True)
class OpenJob:
    """One job on its way through the shard; times in ns of CLOCK_MONOTONIC.

    Attributes:
        score: the message that opened it; without texts once they are tokenized.
        documents: its documents, once they are tokenized.
        margins: the known margins, by the index of the pair in the job.
        awaited: the number of pairs by prefix that are not scored yet.
        handed_out: the number of pairs that the batcher was given.
    """

    score: Score
    accepted_ns: int
    documents: Sequence[TokenizedDocument] = ()
    margins: dict[int, float] = field(default_factory=dict)
    awaited: Counter[Prefix] = field(default_factory=Counter)
    handed_out: int = 0
    started_ns: int = 0
    compute_ns: int = 0
    tokenize_ns: int = 0
    computed_tokens: int = 0
    saved_tokens: int = 0
    _waiting: Iterator[WaitingPair] = field(default_factory=lambda: iter(()))

    @property
    def id(self) -> int:
        return self.score.job

    def set_documents(self, documents: Sequence[TokenizedDocument]) -> None:
        """Take the tokenized documents, and let their texts go."""
        self.documents = documents
        self.score = replace(self.score, queries=(), documents=())
        pairs = ((at, pair) for at, document in enumerate(documents) for pair in document.pairs)
        self._waiting = (
            WaitingPair(self.id, index, pair, at) for index, (at, pair) in enumerate(pairs)
        )
        all_pairs = chain.from_iterable(document.pairs for document in documents)
        self.awaited = Counter(pair.prefix for pair in all_pairs if pair.prefix)

    def pair_scored(self, waiting: WaitingPair, margin: float) -> None:
        """Record the margin of a pair."""
        self.margins[waiting.index] = margin
        if prefix := waiting.pair.prefix:
            self.awaited[prefix] -= 1
            if not self.awaited[prefix]:
                del self.awaited[prefix]

    def next_portion(self, tokens: int) -> list[WaitingPair]:
        """Return the pairs to score next: about so many tokens, at least one pair."""
        portion: list[WaitingPair] = []
        while tokens > 0 and (waiting := next(self._waiting, None)):
            portion.append(waiting)
            tokens -= waiting.own_tokens
        self.handed_out += len(portion)
        return portion

    def wants_portion(self, in_flight: int) -> bool:
        """Return whether all handed-out pairs are scored, but for so many on the device."""
        return len(self.margins) + in_flight == self.handed_out

    @property
    def is_complete(self) -> bool:
        return len(self.margins) == sum(len(document.pairs) for document in self.documents)

    def reply(self) -> Scores:
        in_passages = self.score.in_passages
        margins = (self.margins[index] for index in range(len(self.margins)))
        pooled = [_pooled(document, margins, self.score.pool_best) for document in self.documents]
        spans = [span for _, span in pooled] if in_passages else []
        passages = [len(document.pairs) for document in self.documents] if in_passages else []
        return Scores(
            job=self.id,
            margins=tuple(margin for margin, _ in pooled),
            tokens=tuple(document.tokens for document in self.documents),
            truncated=tuple(at for at, document in enumerate(self.documents) if document.truncated),
            computed_tokens=self.computed_tokens,
            saved_tokens=self.saved_tokens,
            queue_ns=self.started_ns - self.accepted_ns,
            compute_ns=self.compute_ns,
            tokenize_ns=self.tokenize_ns,
            passages=tuple(passages),
            starts=tuple(start for start, _ in spans),
            ends=tuple(end for _, end in spans),
            vectors=b"".join(self._vectors()),
        )

    def _vectors(self) -> Iterator[bytes]:
        """Yield the vector of each text that was encoded alone."""
        for pair in chain.from_iterable(document.pairs for document in self.documents):
            if pair.slot is not None:
                yield pair.slot.data


def _pooled(document: TokenizedDocument, margins: Iterator[float], best: int) -> tuple[float, Span]:
    """Take a document's margins; return the mean of the best, and the span of the best passage."""
    found = list(islice(margins, len(document.pairs)))
    top = max(range(len(found)), key=found.__getitem__)
    counted = sorted(found, reverse=True)[: best or None]
    return math.fsum(counted) / len(counted), document.spans[top]


class OpenJobs:
    """The table of open jobs, and of cancelled ones that still occupy the shard."""

    def __init__(self) -> None:
        self._jobs: dict[int, OpenJob] = {}
        self._cancelled: dict[int, OpenJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    @property
    def is_empty(self) -> bool:
        """True if all jobs are answered, cancelled ones included."""
        return not self._jobs and not self._cancelled

    def open(self, job: OpenJob) -> None:
        self._jobs[job.id] = job

    def close(self, job: int) -> OpenJob | None:
        """Remove and return a job; `None` if it was not open."""
        return self._jobs.pop(job, None)

    def cancel(self, job: int) -> None:
        """Close a job that the device or a tokenizer works on, to be answered after that."""
        if closed := self.close(job):
            self._cancelled[job] = closed

    def pop_cancelled(self, *, but: Container[int] = ()) -> list[OpenJob]:
        """Remove and return the cancelled jobs, but for these."""
        found = [job for job in self._cancelled if job not in but]
        return [self._cancelled.pop(job) for job in found]

    def awaited(self) -> Iterator[Prefix]:
        """Yield the prefixes of pairs that are not scored yet."""
        return chain.from_iterable(job.awaited for job in self._jobs.values())

    def overdue(self, now_ns: int) -> list[int]:
        return [job.id for job in self._jobs.values() if job.score.deadline_ns <= now_ns]

    def batch_scored(
        self,
        batch: Sequence[WaitingPair],
        margins: Sequence[float],
        started_ns: int,
        done_ns: int,
        work: Work,
    ) -> list[Scores]:
        """Record a batch's margins; close the complete jobs and return their replies."""
        total = max(1, sum(work.computed))
        for waiting, margin, computed, saved in zip(
            batch, margins, work.computed, work.saved, strict=True
        ):
            if job := self._jobs.get(waiting.job):
                job.pair_scored(waiting, margin)
            if job := job or self._cancelled.get(waiting.job):
                job.started_ns = job.started_ns or started_ns
                job.compute_ns += (done_ns - started_ns) * computed // total
                job.computed_tokens += computed
                job.saved_tokens += saved
        jobs = dict.fromkeys(waiting.job for waiting in batch)
        return [self._jobs.pop(job).reply() for job in jobs if self._is_complete(job)]

    def next_portions(
        self, jobs: Container[int], tokens: int, in_flight: Mapping[int, int]
    ) -> list[WaitingPair]:
        """Return the next pairs of those of these jobs that have none waiting.

        Args:
            in_flight: the number of pairs by job on the device.
        """
        open_jobs = (self._jobs[job] for job in self._jobs if job in jobs)
        waiting = (job for job in open_jobs if job.wants_portion(in_flight.get(job.id, 0)))
        return [pair for job in waiting for pair in job.next_portion(tokens)]

    def _is_complete(self, job_id: int) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and job.is_complete
