"""The jobs a shard has accepted and not yet answered. Pure: time is passed in.

A job is open from its `Score` message to its one reply. Whoever closes it takes it out of the
table, so it can neither be answered twice nor be forgotten.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shards.batcher import WaitingPair
from shards.pairs import EncodedPair
from shards.wire.messages import Scores


@dataclass(slots=True)
class Job:
    """One job on its way through the shard; times in ns of CLOCK_MONOTONIC."""

    id: int
    deadline_ns: int
    accepted_ns: int
    pairs: Sequence[EncodedPair]
    margins: dict[int, float] = field(default_factory=dict)
    started_ns: int = 0
    compute_ns: int = 0
    computed_tokens: int = 0

    def waiting_pairs(self) -> Iterable[WaitingPair]:
        return (WaitingPair(self.id, index, pair) for index, pair in enumerate(self.pairs))

    def reply(self) -> Scores:
        return Scores(
            job=self.id,
            margins=tuple(self.margins[index] for index in range(len(self.pairs))),
            tokens=tuple(len(pair) for pair in self.pairs),
            truncated=tuple(index for index, pair in enumerate(self.pairs) if pair.truncated),
            computed_tokens=self.computed_tokens,
            queue_ns=self.started_ns - self.accepted_ns,
            compute_ns=self.compute_ns,
        )


class OpenJobs:
    """The table of open jobs."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._dropped: dict[int, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def open(self, job: Job) -> None:
        self._jobs[job.id] = job

    def close(self, job: int) -> Job | None:
        """Take a job out; `None` if it was not open."""
        return self._jobs.pop(job, None)

    def drop(self, job: int) -> None:
        """Take out a job that is on the device; `dropped` has it when the device is done with it."""
        if one := self.close(job):
            self._dropped[job] = one

    def dropped(self) -> list[Job]:
        """Return the jobs that were dropped, once."""
        dropped, self._dropped = self._dropped, {}
        return list(dropped.values())

    def overdue(self, now_ns: int) -> list[int]:
        return [job.id for job in self._jobs.values() if job.deadline_ns <= now_ns]

    def batch_scored(
        self, batch: Sequence[WaitingPair], margins: Sequence[float], started_ns: int, done_ns: int
    ) -> list[Scores]:
        """Note a batch's margins; close the jobs that are complete and return their replies."""
        longest = max(map(len, batch))
        shares = Counter(waiting.job for waiting in batch)
        for waiting, margin in zip(batch, margins, strict=True):
            if job := self._jobs.get(waiting.job):
                job.margins[waiting.index] = margin
        for job_id, pairs in shares.items():
            if job := self._jobs.get(job_id) or self._dropped.get(job_id):
                job.started_ns = job.started_ns or started_ns
                job.compute_ns += (done_ns - started_ns) * pairs // len(batch)
                job.computed_tokens += longest * pairs
        return [self._jobs.pop(job_id).reply() for job_id in shares if self._complete(job_id)]

    def _complete(self, job_id: int) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and len(job.margins) == len(job.pairs)
