"""Who scores a job, and who waits.

A job waits *here*, in the line of its model, until a replica has room for it; only about two batches
are inside a shard at any time. So cancelling is cheap, a shard that is lost takes little with it,
and a replica that becomes ready gets work at once. Whenever something changes (a job arrives, an
answer comes, a shard becomes ready or fails), `serve` hands out as many jobs as fit: first in line
to the replica with the fewest outstanding tokens for its share of the work; who is new or has failed
lately has a smaller share, and who was ejected gets nothing, see `standing`.

A job that one replica could not score stands in a line of its own for another one, ahead of the rest.
Suspects have a line and a replica of their own, see `quarantine`. While only one replica is ready,
everybody else has a turn after each of them, and goes first for a few seconds after a death; and a
sibling that is on its way is waited for as long, so that somebody serves should the suspect end this
one, too. A job that waits while a verdict falls is asked about again before it is handed out. When no
shard is left that could come, all who wait are told at once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.domain import Caller
from gateway.job import Job
from gateway.lifecycle import State
from gateway.quarantine import Quarantine
from gateway.queue import Line
from gateway.standing import Row
from gateway.supervisor import Supervisor
from shards.wire.messages import Scores

_PATIENCE_SECONDS = 5.0
"""How long after a death suspects let others go first."""


class Reconsider(Exception):
    """A pair of the job has become a suspect, or has been refused, while the job stood in line."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A job in line, or inside a replica; `scores` is resolved by the replica.

    Attributes:
        version: of the quarantine, when it was last asked about the job.
        not_on: who could not score the job; another one should, if there is one.
        lease: who has the job, and its id there.
        joined, sent: monotonic seconds.
    """

    job: Job
    version: int
    not_on: Supervisor | None = None
    scores: asyncio.Future[Scores] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    lease: tuple[Supervisor, int] | None = None
    joined: float = field(default_factory=time.monotonic)
    sent: float = 0.0

    def is_with(self, shard: Supervisor) -> bool:
        """Whether this shard has the job, or had it last."""
        return self.lease is not None and self.lease[0] is shard

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
    """The lines of one model, in front of its shards."""

    def __init__(
        self,
        shards: Sequence[Supervisor],
        quarantine: Quarantine,
        unavailable: Callable[[], Exception],
    ) -> None:
        self._shards = shards
        self._quarantine = quarantine
        self._unavailable = unavailable
        self._line: Line[Waiter] = Line()
        self._suspects: Line[Waiter] = Line()
        self._second: Line[Waiter] = Line()  # one replica has failed at them
        self._is_their_turn = False  # a replica is being emptied for a suspect
        self._is_turn_of_others = False
        self._is_backed_up = False  # somebody waited when everything was handed out
        self._waking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._line) + len(self._suspects) + len(self._second)

    @property
    def is_alive(self) -> bool:
        """Whether a shard is ready, or will be without anybody's help."""
        return any(one.state is State.READY or one.is_coming for one in self._shards)

    def has_other_than(self, shard: Supervisor) -> bool:
        """Whether another replica could score what this one could not."""
        return any(one is not shard for one in self._able(time.monotonic()))

    def contradicted(self, shard: Supervisor, row: Row) -> bool:
        """Another replica scored what this one could not; return whether it is left out now.

        Args:
            shard: this one.
            row: the errors that this one is of.
        """
        now = time.monotonic()
        ready = [one for one in self._shards if one.state is State.READY]
        out = sum(one.standing.is_ejected(now) for one in ready)
        return shard.standing.erred(row, now, may_eject=2 * (out + 1) <= len(ready))

    def join(self, job: Job, *, not_on: Supervisor | None = None) -> Waiter:
        """Put a job in line; it may be on its way when this returns."""
        waiter = Waiter(job, self._quarantine.version, not_on)
        self._line_of(waiter).join(waiter)
        self.serve()
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Nobody waits for it any more."""
        if waiter.lease is None:
            self._line_of(waiter).leave(waiter)
        else:
            shard, job_id = waiter.lease
            shard.replica.cancel(job_id)

    def serve(self) -> None:
        """Hand out what fits; fail everybody when no shard is left that could come."""
        if not len(self):
            self._is_backed_up = False
            return
        now = time.monotonic()
        ready = self._able(now)
        ready = self._without_designated(ready, now) if self._suspects else ready
        self._hand_out(self._second, ready, now)
        self._hand_out(self._line, ready, now)
        self._is_backed_up = bool(self._line or self._second)
        if not self.is_alive:
            self._fail_all()

    def _without_designated(self, ready: list[Supervisor], now: float) -> list[Supervisor]:
        """Hand out suspects; return the replicas for everybody else."""
        trying = [one for one in self._shards if one.replica.has_suspect]
        if not (trying or self._is_their_turn or self._may_try(ready, now)):
            return ready
        # One replica is theirs, and takes nothing else before they are through.
        designated, before = (trying or ready)[:1], len(self._suspects)
        self._hand_out(self._suspects, [one for one in designated if one in ready], now)
        self._is_their_turn = not trying and len(self._suspects) == before  # it must be empty first
        self._is_turn_of_others = True
        return [one for one in ready if one not in designated]

    def _may_try(self, ready: Sequence[Supervisor], now: float) -> bool:
        """Whether a suspect may have a replica now, at which nobody else is served meanwhile."""
        if len(ready) != 1:
            return bool(ready)
        if self._is_turn_of_others and self._is_backed_up:
            self._is_turn_of_others = False
            return False
        at = self._quarantine.rest_until(now) if len(self._shards) == 1 else now
        if self._is_backed_up or any(one.is_coming for one in self._shards):
            at = max(at, self._quarantine.last_death + _PATIENCE_SECONDS)
        if at > now:
            self._serve_at(at - now)
        return at <= now

    def _serve_at(self, seconds: float) -> None:
        """Look again in a while, whether or not something has happened by then."""
        if self._waking is not None:
            self._waking.cancel()
        self._waking = asyncio.get_running_loop().call_later(seconds, self.serve)

    def _able(self, now: float) -> list[Supervisor]:
        """Return who may get jobs: all that are ready but those left out, unless no other is."""
        ready = [one for one in self._shards if one.state is State.READY]
        return [one for one in ready if not one.standing.is_ejected(now)] or ready

    def _hand_out(self, line: Line[Waiter], shards: Sequence[Supervisor], now: float) -> None:
        while (waiter := line.first()) and (shard := _idlest(shards, waiter, now)):
            if self._is_news(waiter):
                line.leave(waiter)
                waiter.scores.set_exception(Reconsider())
                continue
            job_id = shard.replica.submit(waiter.job, waiter.scores)
            if job_id is not None:
                waiter.lease, waiter.sent = (shard, job_id), time.monotonic()
                line.served(waiter)

    def _is_news(self, waiter: Waiter) -> bool:
        """Whether a verdict or a suspicion concerns a job that joined the line before it."""
        before, waiter.version = waiter.version, self._quarantine.version
        if before == waiter.version:
            return False
        if not waiter.job.is_solo:
            return self._quarantine.knows_any(waiter.job.pairs, time.monotonic(), waiter.caller.id)
        ((query, document),) = waiter.job.pairs
        return self._quarantine.is_refused(query, document, time.monotonic())

    def _fail_all(self) -> None:
        for waiter in [*self._line, *self._suspects, *self._second]:
            self._line_of(waiter).leave(waiter)
            if not waiter.scores.done():
                waiter.scores.set_exception(self._unavailable())

    def _line_of(self, waiter: Waiter) -> Line[Waiter]:
        if waiter.job.is_solo:
            return self._suspects
        return self._line if waiter.not_on is None else self._second


def _idlest(shards: Sequence[Supervisor], waiter: Waiter, now: float) -> Supervisor | None:
    """Return the shard with the fewest outstanding tokens for its share, of those that have room."""
    job = waiter.job
    others = [one for one in shards if one is not waiter.not_on] or shards
    if len(others) == 1:
        return others[0] if _has_room(others[0], job, 1.0, now) else None
    shares = {one: one.standing.share(now) for one in others}
    best = max(shares.values(), default=1.0)
    with_room = [one for one in others if _has_room(one, job, shares[one] / best, now)]
    return min(
        with_room,
        key=lambda one: (one.replica.outstanding_tokens + job.tokens) / shares[one],
        default=None,
    )


def _has_room(shard: Supervisor, job: Job, share: float, now: float) -> bool:
    if shard.standing.is_probed(now) and shard.replica.queue:
        return False
    return shard.replica.has_room(job, share)
