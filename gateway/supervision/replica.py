"""A shard as a target of dispatch: the gateway's end of its pipe, and the jobs inside.

A replica exists as long as its model; each generation of its shard brings a new pipe. Jobs that
wait for an answer are in `_pending` by id. When the shard is lost, the supervisor first receives
the answers that are already in the socket; then all jobs still pending fail with `ReplicaLost`, and
the model has them scored elsewhere: so every job has exactly one answer. A cancelled job stays
pending until the shard has answered that it dropped the job, because until then it takes room
there: so a shard that has stopped reading never gets more than its window.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.domain.errors import DeadlineExceeded, EngineFailed, GatewayError, InvalidRequest
from gateway.domain.job import Job
from gateway.domain.pair_faults import FAULTS, PairFault
from gateway.supervision.hang_detection import Reading
from shards.wire.codecs import WireError
from shards.wire.facts import Facts
from shards.wire.messages import (
    ENGINE_ERROR,
    NO_VECTORS,
    Canary,
    Cancel,
    Failed,
    Message,
    Ready,
    Refused,
    Scores,
    Stage,
    Stop,
    Vectors,
)
from shards.wire.pipe import GatewayEnd, PipeClosed, PipeFull

_FLOAT_BYTES = 4
_MAX_PENDING = 64  # jobs; far below what the control socket can queue
WINDOW_BATCHES = 2  # one on the device, one in the tokenizer: more jobs could not go elsewhere

FAILURES: dict[str, type[GatewayError]] = {
    "query_too_long": InvalidRequest,
    NO_VECTORS: InvalidRequest,
    ENGINE_ERROR: EngineFailed,
    "deadline": DeadlineExceeded,
    "cancelled": DeadlineExceeded,
}
"""The error of the client, by code of a `Failed` frame."""


class ReplicaLost(Exception):
    """The shard ended before it answered; the job may be scored elsewhere."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A job inside the shard, and the future of its answer.

    Attributes:
        weight: its tokens for the choice of the idlest shard.
        filled: the tokens of the window that it takes.
        vectors: the first bytes of its vectors.
    """

    scores: asyncio.Future[Scores]
    job: Job
    weight: int
    filled: int
    vectors: bytearray = field(default_factory=bytearray)

    def vector_bytes(self, width: int) -> int:
        """Return the bytes of its vectors, given the numbers of one."""
        payload = self.job.payload
        return _FLOAT_BYTES * min(payload.dimensions or width, width) * len(payload.documents)


_job_ids = itertools.count(1)


def _fits(scores: Scores, documents: int) -> bool:
    """Return whether an answer has each value once for each document."""
    lengths = {len(values) for values in (scores.passages, scores.starts, scores.ends)}
    return len(scores.margins) == len(scores.tokens) == documents and (
        lengths in ({documents}, {0})
    )


def _failure(failed: Failed) -> Exception:
    """Return the error of a `Failed` frame: of a pair at fault, or of the whole job."""
    if failed.document >= 0 and failed.code in FAULTS:
        return PairFault(failed.code, failed.document, failed.message)
    return FAILURES.get(failed.code, EngineFailed)(failed.message)


class Replica:
    """One shard of a model, through all its generations.

    Attributes:
        facts: the properties of the loaded model; `None` while the shard is not ready.
        outstanding_tokens: the estimated tokens of the jobs inside the shard.
        wasted_tokens: tokens, padding included, computed for jobs that were cancelled or too late.
    """

    def __init__(
        self,
        name: str,
        *,
        on_report: Callable[[Stage | Ready | Refused | Canary], None],
        on_room: Callable[[], None],
    ) -> None:
        self.name = name
        self.facts: Facts | None = None
        self.outstanding_tokens = 0
        self.wasted_tokens = 0
        self._on_report = on_report
        self._on_room = on_room
        self._pipe: GatewayEnd | None = None
        self._pending: dict[int, _Pending] = {}
        self._filled = 0
        self._isolated = 0  # jobs
        self._is_clogged = False

    def __repr__(self) -> str:
        return f"<Replica {self.name} [{self.queue} jobs, {self.outstanding_tokens} tokens]>"

    @property
    def queue(self) -> int:
        """Jobs inside the shard."""
        return len(self._pending)

    @property
    def has_suspect(self) -> bool:
        """True if an isolated job is inside, alone."""
        return self._isolated > 0

    @property
    def free_slots(self) -> int:
        """The whole batches for which it has room, of `WINDOW_BATCHES`; 0 while it is not ready."""
        if self._pipe is None or self.facts is None or self._is_clogged or self.has_suspect:
            return 0
        if len(self._pending) >= _MAX_PENDING:
            return 0
        return max(0, WINDOW_BATCHES - -(-self._filled // self.facts.token_budget))

    def attach(self, pipe: GatewayEnd) -> None:
        """Begin a generation."""
        self._pipe = pipe
        self._is_clogged = False

    def detach(self, reason: str) -> dict[int, Job]:
        """End a generation: fail the jobs still pending, and return them by id.

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
        """Return whether the job may be sent now: about two batches are inside a shard at any time.

        Args:
            job: the job.
            share: the share of that for this shard; it gets a single job in any case.
        """
        if self._pipe is None or self.facts is None or self._is_clogged:
            return False
        if job.is_isolated or self.has_suspect:
            return not self._pending
        window = share * WINDOW_BATCHES * self.facts.token_budget
        fits_window = not self._pending or self._filled + self._filling(job) <= window
        fits_socket = len(self._pending) < _MAX_PENDING
        return fits_window and fits_socket and self._pipe.fits(job.wire_bytes)

    def _weight(self, job: Job) -> int:
        """Return the tokens that delay other jobs: those run between the passages of a document."""
        if self.facts is None or not job.payload.in_passages:
            return job.tokens
        return min(job.tokens, self.facts.token_budget)

    def _filling(self, job: Job) -> int:
        """Return the tokens of the window that a job takes: of a document longer than a batch one
        batch, because other jobs have room beside it while it is tokenized."""
        return min(self._weight(job), self.facts.token_budget) if self.facts else job.tokens

    def submit(self, job: Job, scores: asyncio.Future[Scores]) -> int | None:
        """Send a job; return its id, or `None` if the shard does not take it after all.

        `scores` gets the answer: the scores, or as an exception the shard's `GatewayError`,
        a `PairFault`, or `ReplicaLost`.
        """
        job_id = next(_job_ids)
        if not self._send(replace(job.payload, job=job_id)):
            self._is_clogged = True  # until the shard has read: see `receive`
            return None
        pending = _Pending(scores, job, self._weight(job), self._filling(job))
        self._pending[job_id] = pending
        self.outstanding_tokens += pending.weight
        self._filled += pending.filled
        self._isolated += job.is_isolated
        return job_id

    def cancel(self, job_id: int) -> None:
        """Ask the shard to drop a job."""
        if job_id in self._pending:
            self._send(Cancel(job_id))

    def stop(self) -> None:
        """Ask the shard to finish its jobs and end."""
        self._send(Stop())

    def _send(self, message: Message) -> bool:
        """Send a message; false if the shard is gone or does not read."""
        if self._pipe is None:
            return False
        try:
            self._pipe.send(message)
        except (PipeClosed, PipeFull):
            return False
        return True

    def receive(self, most: int | None = None) -> None:
        """Process the frames in the control socket, at most `most` of them.

        Raises:
            WireError: the shard sends garbage and must be killed.
        """
        if self._pipe is None:
            return
        for message in self._pipe.receive(most):
            self._process(message)
            self._is_clogged = False
        self._on_room()

    @property
    def is_closed(self) -> bool:
        """True if the shard has closed its end."""
        return self._pipe is None or self._pipe.closed

    def reading(self, now: float) -> Reading | None:
        """Return the progress that the shard last wrote; `None` between two generations."""
        if self._pipe is None:
            return None
        jobs = [pending.job for pending in self._pending.values()]
        return Reading(
            self._pipe.progress(),
            waiting_bytes=sum(job.tokenized_bytes + 1 for job in jobs),
            is_isolated=self.has_suspect,
            now=now,
        )

    def _process(self, message: Message) -> None:
        if isinstance(message, Scores | Failed):
            self._answer(message)
        elif isinstance(message, Vectors):
            self._take_vectors(message)
        elif isinstance(message, Ready | Stage | Refused | Canary):
            if isinstance(message, Ready):
                self.facts = message.facts
            self._on_report(message)
        else:
            raise WireError(f"a shard does not send {type(message).__name__}")

    def _take_vectors(self, message: Vectors) -> None:
        """Keep the first bytes of vectors until the answer; no more than the job has."""
        pending = self._pending.get(message.job)
        width = self.facts.vector_width if self.facts else 0
        if pending is None or not pending.job.payload.side:
            raise WireError(f"vectors for job {message.job}, which waits for none")
        if len(pending.vectors) + len(message.data) > pending.vector_bytes(width):
            raise WireError(f"more bytes of vectors than job {message.job} has")
        if not pending.scores.done():
            pending.vectors.extend(message.data)

    def _whole(self, scores: Scores, pending: _Pending) -> Scores | None:
        """Return an answer with all its vectors; `None` if it has not each value once."""
        payload = pending.job.payload
        if not _fits(scores, len(payload.documents)):
            return None
        if not payload.side:
            return scores
        whole = replace(scores, vectors=bytes(pending.vectors) + scores.vectors)
        width = self.facts.vector_width if self.facts else 0
        return whole if len(whole.vectors) == pending.vector_bytes(width) else None

    def _answer(self, message: Scores | Failed) -> None:
        if message.job not in self._pending:
            raise WireError(f"an answer to job {message.job}, which is not pending")
        pending = self._settle(message.job)
        if pending.scores.done() or (isinstance(message, Failed) and message.code == "deadline"):
            self.wasted_tokens += message.computed_tokens
        if pending.scores.done():
            return  # the job was cancelled
        if isinstance(message, Failed):
            pending.scores.set_exception(_failure(message))
        elif whole := self._whole(message, pending):
            pending.scores.set_result(whole)
        else:
            pending.scores.set_exception(ReplicaLost("it answered with a wrong number of scores"))
            raise WireError(
                f"{len(message.margins)} scores for {len(pending.job.payload.documents)} documents"
            )

    def _settle(self, job_id: int) -> _Pending:
        """Remove a job from the table, and its tokens from the sums."""
        pending = self._pending.pop(job_id)
        self.outstanding_tokens -= pending.weight
        self._filled -= pending.filled
        self._isolated -= pending.job.is_isolated
        return pending
