"""The times of a request's jobs. Pure: monotonic seconds are passed in.

A request is scored in jobs, each by one shard; the times of each are recorded as it is answered, so
that the log line, and the spans of a trace, separate waiting from work. Of a job that was scored
twice, because its shard was lost, the answered attempt counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from shards.wire.messages import Scores

_NANO = 1e9
MOST_JOBS = 32
"""The jobs that are kept one by one: enough to see which shard of a large request was slow."""


class JobTimes(Struct, frozen=True, kw_only=True, gc=False):
    """The times of one job.

    Attributes:
        shard: the shard that scored it.
        joined: when it was queued.
        sent: when it was sent to the shard.
        answered: when its scores arrived.
        tokenize_seconds: the time of its tokenization.
        queue_seconds: its time in the shard before its first batch, tokenization included.
        compute_seconds: its share of its batches.
        documents, tokens: the numbers of what was scored.
    """

    shard: str
    joined: float
    sent: float
    answered: float
    tokenize_seconds: float
    queue_seconds: float
    compute_seconds: float
    documents: int
    tokens: int

    @property
    def waited_seconds(self) -> float:
        """Its wait in the gateway's queue and in the shard, without its tokenization."""
        return max(0.0, self.sent - self.joined + self.queue_seconds - self.tokenize_seconds)


def job_times(shard: str, joined: float, sent: float, answered: float, scores: Scores) -> JobTimes:
    """Return the times of a job, from its moments in the gateway and the shard's answer."""
    return JobTimes(
        shard=shard,
        joined=joined,
        sent=sent,
        answered=answered,
        tokenize_seconds=scores.tokenize_ns / _NANO,
        queue_seconds=scores.queue_ns / _NANO,
        compute_seconds=scores.compute_ns / _NANO,
        documents=len(scores.margins),
        tokens=sum(scores.tokens),
    )


@dataclass(slots=True)
class Timeline:
    """The times of the jobs of one request."""

    jobs: list[JobTimes] = field(default_factory=list)
    longest_wait_seconds: float = 0.0
    compute_seconds: float = 0.0
    answered: int = 0

    def note(self, times: JobTimes) -> None:
        """Add a job that was answered."""
        self.answered += 1
        self.longest_wait_seconds = max(self.longest_wait_seconds, times.waited_seconds)
        self.compute_seconds += times.compute_seconds
        if len(self.jobs) < MOST_JOBS:
            self.jobs.append(times)


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a job's time, in monotonic seconds."""

    name: str
    start: float
    end: float


def spans(times: JobTimes) -> Sequence[Span]:
    """Return the stretches of a job's time, in order: queue, tokenise, wait, compute.

    `wait` is for the device, behind the batches of other jobs; it is left out if it is empty.
    """
    tokenized = times.sent + times.tokenize_seconds
    begun = max(tokenized, times.sent + times.queue_seconds)
    end = min(begun + times.compute_seconds, times.answered)
    found = (
        Span("queue", times.joined, times.sent),
        Span("tokenise", times.sent, tokenized),
        Span("wait", tokenized, begun),
        Span("compute", begun, max(begun, end)),
    )
    return tuple(span for span in found if span.name != "wait" or span.end > span.start)
