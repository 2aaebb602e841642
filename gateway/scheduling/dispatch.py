"""Dispatch: which replica scores a job, and which jobs wait.

A job waits *here*, in the queue of its model, until a replica has room for it; only about two
batches are inside a shard at any time. So cancelling is cheap, a shard that is lost takes little
with it, and a replica that becomes ready gets work at once. Whenever something changes (a job
arrives, an answer comes, a shard becomes ready or fails), `serve` hands out as many jobs as fit:
the first of the queue to the replica with the fewest outstanding tokens for its share of the work.
A replica that is new or has failed lately has a smaller share, an ejected one gets nothing; see
`outlier_detection`.

A job that one replica could not score waits in a queue of its own for another one, ahead of the
rest. Suspects have a queue and a replica of their own, see `quarantine`. While only one replica is
ready, all other jobs have a turn after each suspect, and go first for a few seconds after a death;
and suspects wait as long for a sibling that is starting, so that a replica is left should the
suspect end this one, too. A job that is queued while a pair is suspected or refused is checked
again before it is handed out. When no shard is left that could become ready, all queued jobs fail
at once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.domain.job import Job
from gateway.domain.request import Caller
from gateway.scheduling.quarantine import Quarantine
from gateway.scheduling.queue import FairQueue
from gateway.supervision.lifecycle import State
from gateway.supervision.outlier_detection import ErrorStreak
from gateway.supervision.supervisor import Supervisor
from shards.wire.messages import Scores

_DEATH_PAUSE_SECONDS = 5.0
"""The time after a death in which all other jobs go before suspects."""


class QuarantineChanged(Exception):
    """A pair of the job has become a suspect, or was refused, while the job was queued."""


@dataclass(eq=False, slots=True)
class QueuedJob:
    """A job in the queue, or inside a replica; `scores` is resolved by the replica.

    Attributes:
        version: the version of the quarantine at the last check of the job.
        not_on: the replica that could not score the job; another one should, if there is one.
        assignment: the replica that has the job, and its id there.
        joined, sent: monotonic seconds.
    """

    job: Job
    version: int
    not_on: Supervisor | None = None
    scores: asyncio.Future[Scores] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    assignment: tuple[Supervisor, int] | None = None
    joined: float = field(default_factory=time.monotonic)
    sent: float = 0.0

    def is_with(self, shard: Supervisor) -> bool:
        """Return whether this shard has the job, or had it last."""
        return self.assignment is not None and self.assignment[0] is shard

    @property
    def is_small(self) -> bool:
        return self.job.is_small

    @property
    def caller(self) -> Caller:
        return self.job.caller

    @property
    def tokens(self) -> int:
        return self.job.tokens


class Dispatch:
    """The queues of one model, and the hand-over of jobs to its shards."""

    def __init__(
        self,
        shards: Sequence[Supervisor],
        quarantine: Quarantine,
        unavailable: Callable[[], Exception],
    ) -> None:
        self._shards = shards
        self._quarantine = quarantine
        self._unavailable = unavailable
        self._queue: FairQueue[QueuedJob] = FairQueue()
        self._suspects: FairQueue[QueuedJob] = FairQueue()
        self._second: FairQueue[QueuedJob] = FairQueue()  # one replica has failed at them
        self._is_turn_of_suspects = False  # a replica is being emptied for one
        self._is_turn_of_others = False
        self._is_backed_up = False  # jobs were left when all that fits had been handed out
        self._waking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._suspects) + len(self._second)

    @property
    def is_alive(self) -> bool:
        """True if a shard is ready, or will be without an operator's help."""
        return any(shard.state is State.READY or shard.is_coming for shard in self._shards)

    def has_other_than(self, shard: Supervisor) -> bool:
        """Return whether another replica could score a job that this one could not."""
        return any(other is not shard for other in self._eligible(time.monotonic()))

    def contradicted(self, shard: Supervisor, streak: ErrorStreak) -> bool:
        """Count an error that another replica did not make; return whether it ejects the shard.

        Args:
            shard: the shard that erred.
            streak: the errors of the shard to which this one belongs.
        """
        now = time.monotonic()
        ready = self._ready()
        out = sum(one.outliers.is_ejected(now) for one in ready)
        return shard.outliers.record_error(streak, now, may_eject=2 * (out + 1) <= len(ready))

    def join(self, job: Job, *, not_on: Supervisor | None = None) -> QueuedJob:
        """Queue a job; it may be handed out when this returns."""
        queued = QueuedJob(job, self._quarantine.version, not_on)
        self._queue_of(queued).join(queued)
        self.serve()
        return queued

    def withdraw(self, queued: QueuedJob) -> None:
        """Remove a job whose answer has no use any more."""
        if queued.assignment is None:
            self._queue_of(queued).leave(queued)
        else:
            shard, job_id = queued.assignment
            shard.replica.cancel(job_id)

    def serve(self) -> None:
        """Hand out the jobs that fit; fail all when no shard is left that could become ready."""
        if not len(self):
            self._is_backed_up = False
            return
        now = time.monotonic()
        shards = self._eligible(now)
        shards = self._without_designated(shards, now) if self._suspects else shards
        self._hand_out(self._second, shards, now)
        self._hand_out(self._queue, shards, now)
        self._is_backed_up = bool(self._queue or self._second)
        if not self.is_alive:
            self._fail_all()

    def _without_designated(self, ready: list[Supervisor], now: float) -> list[Supervisor]:
        """Hand out suspects; return the replicas for all other jobs."""
        occupied = [shard for shard in self._shards if shard.replica.has_suspect]
        if not (occupied or self._is_turn_of_suspects or self._may_try_suspect(ready, now)):
            return ready
        # One replica is for suspects, and gets no other job before they are scored.
        designated, before = (occupied or ready)[:1], len(self._suspects)
        self._hand_out(self._suspects, [shard for shard in designated if shard in ready], now)
        # A replica that took no suspect must become empty first.
        self._is_turn_of_suspects = not occupied and len(self._suspects) == before
        self._is_turn_of_others = True
        return [shard for shard in ready if shard not in designated]

    def _may_try_suspect(self, ready: Sequence[Supervisor], now: float) -> bool:
        """Return whether a suspect may have a replica now, which no other job gets meanwhile."""
        if len(ready) != 1:
            return bool(ready)
        if self._is_turn_of_others and self._is_backed_up:
            self._is_turn_of_others = False
            return False
        at = self._quarantine.rest_until(now) if len(self._shards) == 1 else now
        if self._is_backed_up or any(shard.is_coming for shard in self._shards):
            at = max(at, self._quarantine.last_death + _DEATH_PAUSE_SECONDS)
        if at > now:
            self._serve_in(at - now)
        return at <= now

    def _serve_in(self, seconds: float) -> None:
        """Serve again after a while, whether or not something has changed by then."""
        if self._waking is not None:
            self._waking.cancel()
        self._waking = asyncio.get_running_loop().call_later(seconds, self.serve)

    def _ready(self) -> list[Supervisor]:
        return [shard for shard in self._shards if shard.state is State.READY]

    def _eligible(self, now: float) -> list[Supervisor]:
        """Return the ready shards that are not ejected; all ready ones, if no other is."""
        ready = self._ready()
        return [shard for shard in ready if not shard.outliers.is_ejected(now)] or ready

    def _hand_out(
        self, queue: FairQueue[QueuedJob], shards: Sequence[Supervisor], now: float
    ) -> None:
        while (queued := queue.first()) and (shard := _idlest(shards, queued, now)):
            if self._is_outdated(queued):
                queue.leave(queued)
                queued.scores.set_exception(QuarantineChanged())
                continue
            sent = time.monotonic()  # read first: the shard may begin before submit returns
            job_id = shard.replica.submit(queued.job, queued.scores)
            if job_id is not None:
                queued.assignment, queued.sent = (shard, job_id), sent
                queue.served(queued)

    def _is_outdated(self, queued: QueuedJob) -> bool:
        """Return whether a pair of the job was suspected or refused since its last check."""
        before, queued.version = queued.version, self._quarantine.version
        if before == queued.version:
            return False
        job, now = queued.job, time.monotonic()
        if not job.is_isolated:
            return self._quarantine.isolates_any(job.pairs, now, job.caller.id)
        ((query, document),) = job.pairs
        return self._quarantine.is_refused(query, document, now)

    def _fail_all(self) -> None:
        for queued in [*self._queue, *self._suspects, *self._second]:
            self._queue_of(queued).leave(queued)
            if not queued.scores.done():
                queued.scores.set_exception(self._unavailable())

    def _queue_of(self, queued: QueuedJob) -> FairQueue[QueuedJob]:
        if queued.job.is_isolated:
            return self._suspects
        return self._queue if queued.not_on is None else self._second


def _idlest(shards: Sequence[Supervisor], queued: QueuedJob, now: float) -> Supervisor | None:
    """Return the shard with the fewest outstanding tokens for its share, of those with room."""
    job = queued.job
    others = [shard for shard in shards if shard is not queued.not_on] or shards
    if len(others) == 1:
        return others[0] if _has_room(others[0], job, 1.0, now) else None
    shares = {shard: shard.outliers.share(now) for shard in others}
    best = max(shares.values(), default=1.0)
    with_room = [shard for shard in others if _has_room(shard, job, shares[shard] / best, now)]
    return min(
        with_room,
        key=lambda shard: (shard.replica.outstanding_tokens + job.tokens) / shares[shard],
        default=None,
    )


def _has_room(shard: Supervisor, job: Job, share: float, now: float) -> bool:
    if shard.outliers.is_probed(now) and shard.replica.queue:
        return False
    return shard.replica.has_room(job, share)
