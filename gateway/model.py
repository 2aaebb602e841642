"""One model: who scores a job, and who waits.

A job waits *here*, in the line of its model, until a replica has room for it; only about two batches
are inside a shard at any time. So cancelling is cheap, a shard that is lost takes little with it,
and a replica that becomes ready gets work at once. Whenever something changes (a job arrives, an
answer comes, a shard becomes ready or fails), `_serve` hands out as many jobs as fit: first in line
to the replica with the fewest outstanding tokens.

A lost job goes back into the line, until its deadline: scoring has no side effects. Jobs that may
have ended their shard are suspects and have a line of their own, see `quarantine`. Work waits for
shards that are on their way; when none is left that could come, it fails at once.
"""

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.admission import Admission, Ask, Refused
from gateway.config import ModelSpec
from gateway.errors import ModelUnavailable, Overloaded
from gateway.estimate import TokenEstimate
from gateway.faults import QUARANTINED, PairFault
from gateway.job import Job, merged
from gateway.lifecycle import State
from gateway.metrics import Metrics
from gateway.policy import FleetPolicy
from gateway.quarantine import Quarantine
from gateway.queue import Line
from gateway.replica import WINDOW_BATCHES, ReplicaLost
from gateway.snapshot import model_status
from gateway.status import ModelStatus
from gateway.supervisor import Supervisor
from gateway.tally import Tally
from shards.wire.messages import Ready, Scores

_logger = logging.getLogger(__name__)

_FIRST_TOKEN_BUDGET = 4096  # until a shard has told its own
_UNAVAILABLE_SECONDS = 60  # an operator has to do something, or the slow retry
_RETRY_SPREAD = (0.8, 1.2)


@dataclass(eq=False, slots=True)
class _Waiter:
    """A job in line, or inside a replica; `scores` is resolved by the replica."""

    job: Job
    version: int  # of the quarantine, when it was last asked about the job
    scores: asyncio.Future[Scores] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    lease: tuple[Supervisor, int] | None = None  # who has it, and its id there
    joined: float = field(default_factory=time.monotonic)
    sent: float = 0.0

    @property
    def is_small(self) -> bool:
        return self.job.is_small


class _Reconsider(Exception):
    """A pair of the job has become a suspect, or has been refused, while the job stood in line."""


class Model:
    """One model: its line, its replicas and their supervisors.

    Attributes:
        spec: its entry in the configuration.
        quarantine: the pairs that are refused because they ended shards.
        estimate: what pairs cost.
    """

    def __init__(self, spec: ModelSpec, policy: FleetPolicy, metrics: Metrics) -> None:
        self.spec = spec
        self.estimate = TokenEstimate()
        self._metrics = metrics
        self._door = Admission(policy.queue_tokens)
        self.quarantine = Quarantine(secrets.token_bytes(32))
        self._line: Line[_Waiter] = Line()
        self._suspects: Line[_Waiter] = Line()
        self._supervisors = [
            Supervisor(
                shard,
                policy=policy.restart,
                times=policy.times,
                on_change=self._on_change,
                on_suspects=self._on_suspects,
            )
            for shard in spec.shards
        ]
        self._tallies = {one: Tally() for one in self._supervisors}

    def __repr__(self) -> str:
        return f"<Model {self.spec.name} [{self.ready_replicas} ready, {len(self._line)} waiting]>"

    @property
    def ready_replicas(self) -> int:
        return sum(one.state is State.READY for one in self._supervisors)

    @property
    def facts(self) -> Ready | None:
        """What a ready shard says of the model; `None` while there is none."""
        return next((one.replica.facts for one in self._supervisors if one.replica.facts), None)

    @property
    def token_budget(self) -> int:
        """The most tokens of one batch."""
        return self.facts.token_budget if self.facts else _FIRST_TOKEN_BUDGET

    async def run(self) -> None:
        """Run all shards until `stop`."""
        async with asyncio.TaskGroup() as group:
            for supervisor in self._supervisors:
                group.create_task(supervisor.run(), name=supervisor.spec.name)

    def stop(self) -> None:
        """Let all shards finish what they have; `run` returns when they have ended."""
        for supervisor in self._supervisors:
            supervisor.stop()

    @contextmanager
    def admitted(self, ask: Ask) -> Iterator[None]:
        """Count a request in while the block runs, or refuse it.

        Raises:
            ModelUnavailable: no shard is ready or on its way.
            Overloaded: it could not be answered in time, or too much is in already.
        """
        if not self._is_alive:
            raise self._unavailable()
        window = WINDOW_BATCHES * self.token_budget * self.ready_replicas
        refused = self._door.check(ask, replicas=self.ready_replicas, window_tokens=window)
        if refused is not None:
            raise self._overloaded(ask, refused)
        self._door.enter(ask)
        try:
            yield
        finally:
            self._door.leave(ask)

    def _overloaded(self, ask: Ask, refused: Refused) -> Overloaded:
        if refused.wait_seconds is None:
            why = (
                f"about {self._door.tokens} tokens are in already, with this request it would be "
                f"over the limit of {self._door.most_tokens} (limits.queue_tokens)"
            )
        else:
            why = (
                f"the answer would take about {refused.wait_seconds:.1f} s, the request allows "
                f"{ask.remaining_seconds:.1f} s (X-Request-Timeout-Ms)"
            )
        retry = refused.retry_seconds * random.uniform(*_RETRY_SPREAD)  # not all at once
        return Overloaded(
            f"model {self.spec.name!r} has too much to do: {why}; try again later",
            retry_after_seconds=math.ceil(retry),
        )

    async def score(self, job: Job) -> Scores:
        """Have a job scored by whichever replica takes it first; again if that one is lost.

        Raises:
            PairFault: one of its pairs cannot be scored.
            ModelUnavailable: no shard is left that could.
            GatewayError: the shard answered with an error.
        """
        while not self._has_suspects(job):
            try:
                return await self._attempt(job)
            except _Reconsider:
                continue
            except ReplicaLost as loss:
                self._note_loss(loss)
        alone = [
            await self._score_alone(pair, place) for place, pair in enumerate(job.one_by_one())
        ]
        return merged(alone)

    async def _score_alone(self, pair: Job, place: int) -> Scores:
        """Score one pair of a suspect in the designated replica."""
        ((query, document),) = pair.pairs
        while not self.quarantine.is_refused(query, document, time.monotonic()):
            try:
                scores = await self._attempt(pair)
            except _Reconsider:
                continue
            except ReplicaLost as loss:
                self._note_loss(loss)
            except PairFault as fault:
                raise PairFault(fault.code, place, fault.detail) from None
            else:
                self.quarantine.clear(query, document)
                return scores
        raise PairFault(QUARANTINED, place)

    def _has_suspects(self, job: Job) -> bool:
        """Whether a pair of the job is a suspect, or has been found guilty since it came."""
        now, asked = time.monotonic(), self.quarantine
        return any(
            asked.is_suspected(*pair, now) or asked.is_refused(*pair, now) for pair in job.pairs
        )

    def _on_suspects(self, jobs: Iterable[Job]) -> None:
        """A shard ended while it was at these jobs, and by its own doing."""
        now = time.monotonic()
        for job in jobs:
            for query, document in job.pairs:
                if job.is_solo:
                    self.quarantine.refuse(query, document, now)
                else:
                    self.quarantine.suspect(query, document, now)

    def _note_loss(self, loss: ReplicaLost) -> None:
        self._metrics.job_retried(self.spec.name)
        _logger.info("a job of %s is scored again: %s", self.spec.name, loss)

    async def _attempt(self, job: Job) -> Scores:
        """Have a job scored once."""
        waiter = _Waiter(job, self.quarantine.version)
        scores = await self._scores(waiter)
        self._note(waiter, scores)
        return scores

    async def _scores(self, waiter: _Waiter) -> Scores:
        """Wait in line and for the answer; leave either if nobody waits any more."""
        self._line_of(waiter).join(waiter)
        self._serve()
        try:
            return await waiter.scores
        except asyncio.CancelledError:
            self._metrics.job_cancelled(self.spec.name)
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.lease is None:
            self._line_of(waiter).leave(waiter)
        else:
            supervisor, job_id = waiter.lease
            supervisor.replica.cancel(job_id)

    def _on_change(self) -> None:
        """Something has changed at a shard."""
        if self.facts is not None:
            self.estimate.prompt_tokens = self.facts.prompt_tokens
            self.estimate.max_length = self.facts.max_length
        self._serve()

    def _line_of(self, waiter: _Waiter) -> Line[_Waiter]:
        return self._suspects if waiter.job.is_solo else self._line

    def _serve(self) -> None:
        """Hand out what fits; fail everybody when no shard is left that could come."""
        ready = [one for one in self._supervisors if one.state is State.READY]
        if self._suspects:
            # One replica is theirs, and takes nothing else before they are through.
            trying = [one for one in self._supervisors if one.replica.has_suspect]
            designated = (trying or ready)[:1]
            self._hand_out(self._suspects, [one for one in designated if one in ready])
            ready = [one for one in ready if one not in designated]
        self._hand_out(self._line, ready)
        if not self._is_alive:
            self._fail_all()

    def _hand_out(self, line: Line[_Waiter], shards: Sequence[Supervisor]) -> None:
        while (waiter := line.first()) and (shard := _idlest(shards, waiter.job)):
            if self._is_news(waiter):
                line.leave(waiter)
                waiter.scores.set_exception(_Reconsider())
                continue
            job_id = shard.replica.submit(waiter.job, waiter.scores)
            if job_id is not None:
                waiter.lease, waiter.sent = (shard, job_id), time.monotonic()
                line.served(waiter)

    def _is_news(self, waiter: _Waiter) -> bool:
        """Whether a verdict or a suspicion concerns a job that joined the line before it."""
        before, waiter.version = waiter.version, self.quarantine.version
        if before == waiter.version:
            return False
        if not waiter.job.is_solo:
            return self._has_suspects(waiter.job)
        ((query, document),) = waiter.job.pairs
        return self.quarantine.is_refused(query, document, time.monotonic())

    @property
    def _is_alive(self) -> bool:
        return any(one.state is State.READY or one.is_coming for one in self._supervisors)

    def _fail_all(self) -> None:
        for waiter in [*self._line, *self._suspects]:
            self._line_of(waiter).leave(waiter)
            if not waiter.scores.done():
                waiter.scores.set_exception(self._unavailable())

    def _unavailable(self) -> ModelUnavailable:
        reasons = sorted({one.last_error for one in self._supervisors if one.last_error})
        return ModelUnavailable(
            f"model {self.spec.name!r} cannot score: {'; '.join(reasons) or 'it is stopped'}. "
            "`gateway status` shows its shards",
            retry_after_seconds=_UNAVAILABLE_SECONDS,
        )

    def _note(self, waiter: _Waiter, scores: Scores) -> None:
        """Learn from an answer, and count it."""
        assert waiter.lease is not None
        shard, job, now = waiter.lease[0], waiter.job, time.monotonic()
        tokens, documents = sum(scores.tokens), len(scores.margins)
        self._door.learn(tokens, scores.compute_ns / 1e9)
        self.estimate.learn(pairs=documents, text_bytes=job.text_bytes, tokens=tokens)
        self._tallies[shard].add(
            documents=documents, tokens=tokens, seconds=now - waiter.sent, now=now
        )
        self._metrics.job_answered(
            self.spec.name,
            shard.spec.name,
            documents=documents,
            tokens=tokens,
            padded_tokens=scores.computed_tokens - tokens,
            truncated=len(scores.truncated),
            queue_seconds=waiter.sent - waiter.joined + scores.queue_ns / 1e9,
            compute_seconds=scores.compute_ns / 1e9,
        )
        for pairs, batch_tokens, micros in zip(
            scores.batch_pairs, scores.batch_tokens, scores.batch_us, strict=True
        ):
            self._metrics.batch_computed(
                self.spec.name, pairs=pairs, tokens=batch_tokens, seconds=micros / 1e6
            )

    def status(self) -> ModelStatus:
        """Return a snapshot."""
        queue = len(self._line) + len(self._suspects)
        return model_status(self.spec, self.facts, queue, self._tallies)


def _idlest(shards: Sequence[Supervisor], job: Job) -> Supervisor | None:
    """Return the shard with the fewest outstanding tokens of those that have room."""
    with_room = [one for one in shards if one.replica.has_room(job)]
    return min(with_room, key=lambda one: one.replica.outstanding_tokens, default=None)
