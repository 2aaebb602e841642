"""Where the time of a request went. Pure: monotonic seconds are passed in.

A request is scored in jobs, each by one shard; what each of them took is noted here as it is answered,
so that the log line, and the spans of a trace, can tell waiting from work. Of a job that was scored
twice, because its shard was lost, the try that was answered counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from shards.wire.messages import Scores

_NANO = 1e9
MOST_JOBS = 32
"""Of a larger request so many jobs are kept one by one: enough to see which shard was slow."""


class JobTimes(Struct, frozen=True, kw_only=True, gc=False):
    """What one job took.

    Attributes:
        shard: who scored it.
        joined: when it stood in line.
        sent: when the shard got it.
        answered: when its scores were there.
        encode_seconds: how long it was tokenised.
        queue_seconds: how long it was in the shard before its first batch, tokenising included.
        compute_seconds: its share of its batches.
        documents, tokens: what was scored.
    """

    shard: str
    joined: float
    sent: float
    answered: float
    encode_seconds: float
    queue_seconds: float
    compute_seconds: float
    documents: int
    tokens: int

    @property
    def waited_seconds(self) -> float:
        """How long it waited, in the gateway's line and in the shard, tokenising left out."""
        return max(0.0, self.sent - self.joined + self.queue_seconds - self.encode_seconds)


def job_times(shard: str, joined: float, sent: float, answered: float, scores: Scores) -> JobTimes:
    """Return what a job took, from its moments in the gateway and what the shard says."""
    return JobTimes(
        shard=shard,
        joined=joined,
        sent=sent,
        answered=answered,
        encode_seconds=scores.encode_ns / _NANO,
        queue_seconds=scores.queue_ns / _NANO,
        compute_seconds=scores.compute_ns / _NANO,
        documents=len(scores.margins),
        tokens=sum(scores.tokens),
    )


@dataclass(slots=True)
class Timeline:
    """What the jobs of one request took."""

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

    `wait` is for the device, behind others' batches; it is left out where there was none.
    """
    encoded = times.sent + times.encode_seconds
    begun = max(encoded, times.sent + times.queue_seconds)
    end = min(begun + times.compute_seconds, times.answered)
    found = (
        Span("queue", times.joined, times.sent),
        Span("tokenise", times.sent, encoded),
        Span("wait", encoded, begun),
        Span("compute", begun, max(begun, end)),
    )
    return tuple(span for span in found if span.name != "wait" or span.end > span.start)
