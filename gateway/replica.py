"""A shard as the router sees it, and the gateway's end of its pipe.

A replica lives as long as the gateway; pipes come and go with the generations of its shard. Jobs
that wait for an answer stand in `_pending` by id. When the shard is lost, the supervisor has the
answers that are already in the socket taken first; then everything still pending fails with
`ReplicaLost`, and whoever waits for it has it scored elsewhere: so every job has exactly one answer.
A cancelled job stays pending until the shard has said that it dropped it, because until then it
takes room there: so a shard that has stopped reading is never sent more than its window.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import DeadlineExceeded, EngineFailed, GatewayError, InvalidRequest
from gateway.faults import FAULTS, PairFault
from gateway.job import Job
from gateway.pulse import Reading
from shards.wire.codecs import WireError
from shards.wire.messages import (
    ENGINE_ERROR,
    Canary,
    Cancel,
    Failed,
    Message,
    Ready,
    Refused,
    Scores,
    Stage,
    Stop,
)
from shards.wire.pipe import GatewayEnd, PipeClosed, PipeFull

_MAX_PENDING = 64  # jobs; far below what the control socket can queue
WINDOW_BATCHES = 2  # one on the device, one encoded: more would only wait where it cannot move

FAILURES: dict[str, type[GatewayError]] = {
    "query_too_long": InvalidRequest,
    ENGINE_ERROR: EngineFailed,
    "deadline": DeadlineExceeded,
    "cancelled": DeadlineExceeded,
}
"""What the code of a `Failed` frame means to the client."""


class ReplicaLost(Exception):
    """The shard ended before it answered; the job may be scored elsewhere."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A job inside the shard, and who waits for it.

    Attributes:
        weight: the tokens it is counted with where the idlest shard is looked for.
        filled: how much of the window it takes.
    """

    scores: asyncio.Future[Scores]
    job: Job
    weight: int
    filled: int


_job_ids = itertools.count(1)


def _fits(scores: Scores, documents: int) -> bool:
    """Whether an answer has everything once for each document."""
    numbers = {len(one) for one in (scores.passages, scores.starts, scores.ends)}
    return len(scores.margins) == len(scores.tokens) == documents and (
        numbers in ({documents}, {0})
    )


def _failure(failed: Failed) -> Exception:
    """Return what a `Failed` frame means: a pair at fault, or the whole job."""
    if failed.document >= 0 and failed.code in FAULTS:
        return PairFault(failed.code, failed.document, failed.message)
    return FAILURES.get(failed.code, EngineFailed)(failed.message)


class Replica:
    """One shard of a model, through all its generations.

    Attributes:
        facts: what the shard loaded; `None` while it is not ready.
        outstanding_tokens: the estimated tokens of the jobs inside the shard.
        wasted_tokens: tokens, padding included, that were computed for jobs nobody waited for.
    """

    def __init__(
        self,
        name: str,
        *,
        on_stage: Callable[[Stage | Ready | Refused | Canary], None],
        on_room: Callable[[], None],
    ) -> None:
        self.name = name
        self.facts: Ready | None = None
        self.outstanding_tokens = 0
        self.wasted_tokens = 0
        self._on_stage = on_stage
        self._on_room = on_room
        self._pipe: GatewayEnd | None = None
        self._pending: dict[int, _Pending] = {}
        self._filled = 0
        self._solos = 0  # of them
        self._is_clogged = False

    def __repr__(self) -> str:
        return f"<Replica {self.name} [{self.queue} jobs, {self.outstanding_tokens} tokens]>"

    @property
    def queue(self) -> int:
        """Jobs inside the shard."""
        return len(self._pending)

    @property
    def has_suspect(self) -> bool:
        """Whether a suspect is inside, alone."""
        return self._solos > 0

    def attach(self, pipe: GatewayEnd) -> None:
        """Begin a generation."""
        self._pipe = pipe
        self._is_clogged = False

    def detach(self, reason: str) -> dict[int, Job]:
        """End a generation: what is still pending is lost, and returned by its id.

        Call `receive` before.
        """
        if self._pipe is not None:
            self._pipe.close()
        self._pipe = None
        self.facts = None
        lost = {job_id: self._settle(job_id) for job_id in list(self._pending)}
        for pending in lost.values():
            if not pending.scores.done():
                pending.scores.set_exception(ReplicaLost(reason))
        return {job_id: pending.job for job_id, pending in lost.items()}

    def has_room(self, job: Job, share: float = 1.0) -> bool:
        """Whether the job may be sent now: about two batches are inside a shard at any time.

        Args:
            job: the job.
            share: how much of that the shard may have; it gets a single job in any case.
        """
        if self._pipe is None or self.facts is None or self._is_clogged:
            return False
        if job.is_solo or self.has_suspect:
            return not self._pending
        window = share * WINDOW_BATCHES * self.facts.token_budget
        fits_window = not self._pending or self._filled + self._filling(job) <= window
        fits_socket = len(self._pending) < _MAX_PENDING
        return fits_window and fits_socket and self._pipe.fits(job.wire_bytes)

    def _weight(self, job: Job) -> int:
        """Return what a job adds to the shard's queue: many passages let others in between."""
        if self.facts is None or job.reading.policy != "passages":
            return job.tokens
        return min(job.tokens, self.facts.token_budget)

    def _filling(self, job: Job) -> int:
        """Return what a job takes of the window. A document that is longer than a batch takes a
        batch: beside it, while it is encoded, there is room for others."""
        return min(self._weight(job), self.facts.token_budget) if self.facts else job.tokens

    def submit(self, job: Job, scores: asyncio.Future[Scores]) -> int | None:
        """Send a job; return its id, or `None` if the shard does not take it after all.

        `scores` gets the answer: the scores, the shard's error as a `GatewayError`,
        a `PairFault`, or `ReplicaLost`.
        """
        job_id = next(_job_ids)
        if not self._tell(job.message(job_id)):
            self._is_clogged = True  # until the shard has read on: see `receive`
            return None
        pending = _Pending(scores, job, self._weight(job), self._filling(job))
        self._pending[job_id] = pending
        self.outstanding_tokens += pending.weight
        self._filled += pending.filled
        self._solos += job.is_solo
        return job_id

    def cancel(self, job_id: int) -> None:
        """Tell the shard that nobody waits for this job any more."""
        if job_id in self._pending:
            self._tell(Cancel(job_id))

    def stop(self) -> None:
        """Ask the shard to finish what it has and end."""
        self._tell(Stop())

    def _tell(self, message: Message) -> bool:
        """Send a message; false if the shard is gone or does not read."""
        if self._pipe is None:
            return False
        try:
            self._pipe.send(message)
        except (PipeClosed, PipeFull):
            return False
        return True

    def receive(self, most: int | None = None) -> None:
        """Take the frames that are there, or `most` of them, when the control socket is readable.

        Raises:
            WireError: the shard sends garbage and must be ended.
        """
        if self._pipe is None:
            return
        for message in self._pipe.receive(most):
            self._take(message)
            self._is_clogged = False
        self._on_room()

    @property
    def is_closed(self) -> bool:
        """Whether the shard has closed its end."""
        return self._pipe is None or self._pipe.closed

    def reading(self, now: float) -> Reading | None:
        """Look at what the shard last wrote about its progress."""
        if self._pipe is None:
            return None
        jobs = [pending.job for pending in self._pending.values()]
        return Reading(
            self._pipe.progress(),
            waiting_bytes=sum(job.encoded_bytes + 1 for job in jobs),
            is_solo=self.has_suspect,
            now=now,
        )

    def _take(self, message: Message) -> None:
        if isinstance(message, Scores | Failed):
            self._answer(message)
        elif isinstance(message, Ready | Stage | Refused | Canary):
            if isinstance(message, Ready):
                self.facts = message
            self._on_stage(message)
        else:
            raise WireError(f"a shard does not send {type(message).__name__}")

    def _answer(self, message: Scores | Failed) -> None:
        if message.job not in self._pending:
            raise WireError(f"an answer to job {message.job}, which is not pending")
        pending = self._settle(message.job)
        if pending.scores.done() or (isinstance(message, Failed) and message.code == "deadline"):
            self.wasted_tokens += message.computed_tokens
        if pending.scores.done():
            return  # cancelled meanwhile
        if isinstance(message, Failed):
            pending.scores.set_exception(_failure(message))
        elif _fits(message, len(pending.job.documents)):
            pending.scores.set_result(message)
        else:
            pending.scores.set_exception(ReplicaLost("it answered with a wrong number of scores"))
            raise WireError(
                f"{len(message.margins)} scores for {len(pending.job.documents)} documents"
            )

    def _settle(self, job_id: int) -> _Pending:
        """Take a job out of the table and give its tokens back."""
        pending = self._pending.pop(job_id)
        self.outstanding_tokens -= pending.weight
        self._filled -= pending.filled
        self._solos -= pending.job.is_solo
        return pending
