"""The jobs a shard has accepted and not yet answered. Pure: time is passed in.

A job is open from its `Score` message to its one reply. Whoever closes it takes it out of the
table, so it can neither be answered twice nor be forgotten.

A job of many passages may be as large as hundreds of batches. It is handed out in portions, the next
one when the last is scored, so that whatever came meanwhile has its turn between two of them.
"""

import math
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from shards.batcher import WaitingPair
from shards.documents import EncodedDocument
from shards.encoder import Span
from shards.pairs import Prefix
from shards.wire.messages import Scores
from shards.work import Work


@dataclass(slots=True)
class Job:
    """One job on its way through the shard; times in ns of CLOCK_MONOTONIC.

    Attributes:
        pool_best: how many of a document's best passages its margin is the mean of; 0 for all.
        in_passages: whether the reply tells of passages.
        margins: those that are known, by the place of the pair in the job.
        awaited: how many pairs that are not scored yet have a prefix.
        handed_out: how many pairs the batcher has been given.
    """

    id: int
    deadline_ns: int
    accepted_ns: int
    documents: Sequence[EncodedDocument] = ()
    pool_best: int = 1
    in_passages: bool = False
    margins: dict[int, float] = field(default_factory=dict)
    awaited: Counter[Prefix] = field(default_factory=Counter)
    handed_out: int = 0
    started_ns: int = 0
    compute_ns: int = 0
    encode_ns: int = 0
    computed_tokens: int = 0
    saved_tokens: int = 0
    _waiting: Iterator[WaitingPair] = field(default_factory=lambda: iter(()))

    def take(self, documents: Sequence[EncodedDocument]) -> None:
        """Note what is to be scored."""
        self.documents = documents
        pairs = ((at, pair) for at, document in enumerate(documents) for pair in document.pairs)
        self._waiting = (
            WaitingPair(self.id, index, pair, at) for index, (at, pair) in enumerate(pairs)
        )
        all_pairs = chain.from_iterable(document.pairs for document in documents)
        self.awaited = Counter(pair.prefix for pair in all_pairs if pair.prefix)

    def scored(self, waiting: WaitingPair, margin: float) -> None:
        """Note a margin."""
        self.margins[waiting.index] = margin
        if prefix := waiting.pair.prefix:
            self.awaited[prefix] -= 1
            if not self.awaited[prefix]:
                del self.awaited[prefix]

    def portion(self, tokens: int) -> list[WaitingPair]:
        """Return the pairs that are to be scored next: about so many tokens, at least one pair."""
        portion: list[WaitingPair] = []
        while tokens > 0 and (waiting := next(self._waiting, None)):
            portion.append(waiting)
            tokens -= waiting.own_tokens
        self.handed_out += len(portion)
        return portion

    def wants_more(self, flying: int) -> bool:
        """Whether all that was handed out is scored, but for so many pairs that the device is at."""
        return len(self.margins) + flying == self.handed_out

    @property
    def is_complete(self) -> bool:
        return len(self.margins) == sum(len(document.pairs) for document in self.documents)

    def reply(self) -> Scores:
        margins = (self.margins[index] for index in range(len(self.margins)))
        pooled = [_pooled(one, margins, self.pool_best) for one in self.documents]
        spans = [span for _, span in pooled] if self.in_passages else []
        return Scores(
            job=self.id,
            margins=tuple(margin for margin, _ in pooled),
            tokens=tuple(document.tokens for document in self.documents),
            truncated=tuple(at for at, one in enumerate(self.documents) if one.truncated),
            computed_tokens=self.computed_tokens,
            saved_tokens=self.saved_tokens,
            queue_ns=self.started_ns - self.accepted_ns,
            compute_ns=self.compute_ns,
            encode_ns=self.encode_ns,
            passages=tuple(len(one.pairs) for one in self.documents) if self.in_passages else (),
            starts=tuple(start for start, _ in spans),
            ends=tuple(end for _, end in spans),
        )


def _pooled(document: EncodedDocument, margins: Iterator[float], best: int) -> tuple[float, Span]:
    """Return the margin of a document, from the next margins, and the span of its best passage."""
    found = list(islice(margins, len(document.pairs)))
    top = max(range(len(found)), key=found.__getitem__)
    counted = sorted(found, reverse=True)[: best or None]
    return math.fsum(counted) / len(counted), document.spans[top]


class OpenJobs:
    """The table of open jobs."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._dropped: dict[int, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    @property
    def is_empty(self) -> bool:
        """Whether all jobs are answered, those that were dropped included."""
        return not self._jobs and not self._dropped

    def open(self, job: Job) -> None:
        self._jobs[job.id] = job

    def close(self, job: int) -> Job | None:
        """Take a job out; `None` if it was not open."""
        return self._jobs.pop(job, None)

    def drop(self, job: int) -> None:
        """Take out a job that somebody is at; `dropped` has it when they are done with it."""
        if one := self.close(job):
            self._dropped[job] = one

    def dropped(self, *, but: Container[int] = ()) -> list[Job]:
        """Return the jobs that were dropped, once, but for these."""
        found = [job for job in self._dropped if job not in but]
        return [self._dropped.pop(job) for job in found]

    def awaited(self) -> Iterator[Prefix]:
        """Yield the prefixes of pairs that are not scored yet."""
        return chain.from_iterable(job.awaited for job in self._jobs.values())

    def overdue(self, now_ns: int) -> list[int]:
        return [job.id for job in self._jobs.values() if job.deadline_ns <= now_ns]

    def batch_scored(
        self,
        batch: Sequence[WaitingPair],
        margins: Sequence[float],
        started_ns: int,
        done_ns: int,
        work: Work,
    ) -> list[Scores]:
        """Note a batch's margins; close the jobs that are complete and return their replies."""
        total = max(1, sum(work.computed))
        for waiting, margin, computed, saved in zip(
            batch, margins, work.computed, work.saved, strict=True
        ):
            if job := self._jobs.get(waiting.job):
                job.scored(waiting, margin)
            if job := job or self._dropped.get(waiting.job):
                job.started_ns = job.started_ns or started_ns
                job.compute_ns += (done_ns - started_ns) * computed // total
                job.computed_tokens += computed
                job.saved_tokens += saved
        jobs = dict.fromkeys(waiting.job for waiting in batch)
        return [self._jobs.pop(job).reply() for job in jobs if self._is_complete(job)]

    def portions(
        self, jobs: Container[int], tokens: int, flying: Mapping[int, int]
    ) -> list[WaitingPair]:
        """Return what is to be scored next of those of these jobs that have nothing waiting.

        Args:
            flying: how many pairs of a job the device is at.
        """
        open_jobs = (self._jobs[job] for job in self._jobs if job in jobs)
        hungry = (job for job in open_jobs if job.wants_more(flying.get(job.id, 0)))
        return [pair for job in hungry for pair in job.portion(tokens)]

    def _is_complete(self, job_id: int) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and job.is_complete
