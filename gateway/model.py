"""One model: its door, its shards, and what becomes of a job.

A job is scored by whichever replica takes it first (`dispatch`). A lost one is scored again, until
its deadline: scoring has no side effects; but not without end (`retries`). An error is believed when
a second replica makes it, too (`standing`). Suspects are scored pair by pair (`quarantine`).
"""

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from gateway.accounts import count_answer
from gateway.admission import Admission, Ask
from gateway.alone import each_alone
from gateway.config import ModelSpec
from gateway.dispatch import Dispatch, Reconsider, Waiter
from gateway.domain import Caller, Scored
from gateway.drift import ScoreLog
from gateway.errors import EngineFailed, GatewayError, ModelUnavailable
from gateway.estimate import TokenEstimate
from gateway.faults import DOUBTFUL, QUARANTINED, PairFault
from gateway.job import Job
from gateway.lifecycle import State
from gateway.metrics import Metrics
from gateway.policy import FleetPolicy
from gateway.quarantine import Quarantine
from gateway.recycling import recycle
from gateway.refusals import drained, overloaded, retry_budget_spent, unavailable
from gateway.replica import WINDOW_BATCHES, ReplicaLost
from gateway.retries import RetryBudget
from gateway.snapshot import errors_of, model_status
from gateway.status import ModelStatus
from gateway.supervisor import Supervisor
from gateway.tally import Tally
from gateway.timeline import job_times
from shards.wire.messages import Ready, Scores

_logger = logging.getLogger(__name__)

_FIRST_TOKEN_BUDGET = 4096  # until a shard has told its own
_RETRY_SPREAD = (0.8, 1.2)
_CONFINED = "key %s sends what ends shards of %s, again and again: its documents are scored alone"


class Model:
    """One model: its door, its shards, and what becomes of a job.

    Attributes:
        spec: its entry in the configuration.
        quarantine: the pairs that are refused because they ended shards.
        estimate: what pairs cost.
        is_draining: whether it takes no more requests.
    """

    def __init__(self, spec: ModelSpec, policy: FleetPolicy, metrics: Metrics) -> None:
        self.spec = spec
        self.estimate = TokenEstimate()
        self._metrics = metrics
        self._door = Admission(policy.queue_tokens)
        self.quarantine = Quarantine(secrets.token_bytes(32))
        self._retries = RetryBudget(policy.retries, len(spec.shards))
        self.is_draining = False
        self._supervisors = [
            Supervisor(
                shard,
                policy=policy.restart,
                times=policy.times,
                ejection=policy.ejection,
                oom=policy.oom,
                canaries=policy.canaries,
                on_change=self._on_change,
                on_suspects=self._on_suspects,
            )
            for shard in spec.shards
        ]
        self._dispatch = Dispatch(self._supervisors, self.quarantine, self._unavailable)
        self._scores = ScoreLog()
        self._tallies = {one: Tally() for one in self._supervisors}

    def __repr__(self) -> str:
        return (
            f"<Model {self.spec.name} [{self.ready_replicas} ready, {len(self._dispatch)} waiting]>"
        )

    @property
    def ready_replicas(self) -> int:
        return [one.state for one in self._supervisors].count(State.READY)

    @property
    def is_complete(self) -> bool:
        """Whether all shards are ready."""
        return self.ready_replicas == len(self._supervisors)

    @property
    def failure(self) -> str:
        """Why shards were given up; empty if none was."""
        return errors_of(one for one in self._supervisors if one.state is State.FAILED)

    @property
    def last_errors(self) -> str:
        """Why shards were lost lately; empty if none was."""
        return errors_of(self._supervisors)

    @property
    def facts(self) -> Ready | None:
        """What a ready shard says of the model; `None` while there is none."""
        return next((facts for one in self._supervisors if (facts := one.replica.facts)), None)

    @property
    def token_budget(self) -> int:
        """The most tokens of one batch."""
        facts = self.facts
        return facts.token_budget if facts else _FIRST_TOKEN_BUDGET

    def is_attended(self, now: float) -> bool:
        """Whether every supervisor looks at its shard."""
        return all(one.is_attended(now) for one in self._supervisors)

    async def run(self) -> None:
        """Run all shards until `stop`."""
        async with asyncio.TaskGroup() as group:
            recycling = group.create_task(
                recycle(self._supervisors, lambda: self.spec.max_shard_memory_mb)
            )
            shards = [group.create_task(one.run(), name=one.spec.name) for one in self._supervisors]
            await asyncio.wait(shards)
            recycling.cancel()

    def stop(self) -> None:
        """Let all shards finish what they have; `run` returns when they have ended."""
        for supervisor in self._supervisors:
            supervisor.stop()

    def drain(self) -> None:
        """Take no more requests; when those that are in have finished, `stop`."""
        self.is_draining = True
        self._stop_if_drained()

    def _stop_if_drained(self) -> None:
        if self.is_draining and not self._door.tokens:  # each request has some
            self.stop()

    @contextmanager
    def admitted(self, ask: Ask) -> Iterator[None]:
        """Count a request in while the block runs, or refuse it.

        Raises:
            ModelDrained: the operator wants no more.
            ModelUnavailable: no shard is ready or on its way.
            Overloaded: it could not be answered in time, or too much is in already.
        """
        if refusal := self._refusal(ask):
            raise refusal
        self._door.enter(ask)
        try:
            yield
        finally:
            self._door.leave(ask)
            self._stop_if_drained()

    def _refusal(self, ask: Ask) -> GatewayError | None:
        """Return why a request may not enter now, if so."""
        if self.is_draining:
            return drained(self.spec.name)
        if not self._dispatch.is_alive:
            return self._unavailable()
        window = WINDOW_BATCHES * self.token_budget * (replicas := self.ready_replicas)
        refused = self._door.check(ask, replicas=replicas, window_tokens=window)
        if refused is None:
            return None
        return overloaded(self.spec.name, ask, refused, random.uniform(*_RETRY_SPREAD))

    def refusal_of_any(self, caller: Caller, remaining_seconds: float) -> GatewayError | None:
        """Return why even the smallest request may not enter, if so; its body need not be read."""
        smallest = Ask(
            tokens=self.estimate.prompt_tokens,
            is_small=True,
            remaining_seconds=remaining_seconds,
            caller=caller,
        )
        return self._refusal(smallest)

    def _unavailable(self) -> ModelUnavailable:
        return unavailable(self.spec.name, self.last_errors)

    async def score(self, job: Job) -> Scores:
        """Have a job scored by whichever replica takes it first; again if that one is lost.

        Raises:
            PairFault: one of its pairs cannot be scored.
            ModelUnavailable: no shard is left that could.
            RetryBudgetSpent: its shard ended, and too many jobs were scored again lately.
            GatewayError: the shard answered with an error.
        """
        self._retries.came(time.monotonic())
        while not self.quarantine.knows_any(job.pairs, time.monotonic(), job.caller.id):
            try:
                return await self._attempt(job)
            except Reconsider:
                continue
            except ReplicaLost as loss:
                self._note_loss(loss)
        return await each_alone(job, self._score_alone)

    async def probe(self, job: Job) -> Scores:
        """Have a job scored once; nothing is counted or learnt.

        Raises:
            ReplicaLost: its shard ended.
            GatewayError: as `score`.
        """
        return await self._answer(self._dispatch.join(job))

    async def _score_alone(self, pair: Job, place: int) -> Scores:
        """Score one pair of a suspect in the designated replica."""
        ((query, document),) = pair.pairs
        while not self.quarantine.is_refused(query, document, time.monotonic()):
            try:
                scores = await self._attempt(pair)
            except Reconsider:
                continue
            except ReplicaLost as loss:
                if not self.quarantine.is_refused(query, document, time.monotonic()):
                    self._note_loss(loss)
            except PairFault as fault:
                raise PairFault(fault.code, place, fault.detail) from None
            else:
                self.quarantine.clear(query, document)
                return scores
        raise PairFault(QUARANTINED, place)

    def _on_suspects(self, jobs: Iterable[Job]) -> None:
        """A shard ended while it was at these jobs, and by its own doing."""
        now = time.monotonic()
        jobs = list(jobs)
        if jobs:
            self.quarantine.shard_ended(now)
        for job in jobs:
            for query, document in job.pairs:
                if job.is_solo:
                    if self.quarantine.refuse(query, document, now, job.caller.id):
                        _logger.warning(_CONFINED, job.caller.id, self.spec.name)
                    self._forgive_a_device()
                else:
                    self.quarantine.suspect(query, document, now)

    def _forgive_a_device(self) -> None:
        """A pair was found guilty: what it had ended before was not the fault of a device."""
        blamed = max(self._supervisors, key=lambda one: one.concessions.device_failures)
        blamed.concessions.forgive()

    def _note_loss(self, loss: ReplicaLost) -> None:
        """Count a job that is scored again, if it may be."""
        if not self._retries.take(time.monotonic()):
            self._metrics.retry_refused(self.spec.name)
            raise retry_budget_spent(self.spec.name, str(loss)) from loss
        self._metrics.job_retried(self.spec.name)
        _logger.info("a job of %s is scored again: %s", self.spec.name, loss)

    async def _attempt(self, job: Job) -> Scores:
        """Have a job scored once; an error counts when a second replica makes it, too."""
        waiter = self._dispatch.join(job)
        try:
            scores = await self._answer(waiter)
        except (PairFault, EngineFailed) as error:
            waiter, scores = await self._second_opinion(waiter, error)
        self._note(waiter, scores)
        return scores

    async def _second_opinion(
        self, first: Waiter, error: PairFault | EngineFailed
    ) -> tuple[Waiter, Scores]:
        """Have another replica score what one could not; raise the error if there is none."""
        assert first.lease is not None
        shard = first.lease[0]
        is_doubtful = isinstance(error, EngineFailed) or error.code in DOUBTFUL
        if not is_doubtful or first.job.is_solo or not self._dispatch.has_other_than(shard):
            raise error
        if not self._retries.take_to_doubt(time.monotonic()):
            raise error
        self._metrics.job_retried(self.spec.name)
        row = shard.standing.doubted()
        second = self._dispatch.join(first.job, not_on=shard)
        scores = await self._answer(second)
        if not second.is_with(shard) and self._dispatch.contradicted(shard, row):
            _logger.warning("shard %s gets no jobs for a while: it errs", shard.spec.name)
        return second, scores

    async def _answer(self, waiter: Waiter) -> Scores:
        """Wait in line and for the answer; leave either if nobody waits any more."""
        try:
            return await waiter.scores
        except asyncio.CancelledError:
            self._metrics.job_cancelled(self.spec.name)
            self._dispatch.withdraw(waiter)
            raise

    def _on_change(self) -> None:
        """Something has changed at a shard."""
        if facts := self.facts:
            self.estimate.prompt_tokens = facts.prompt_tokens
            self.estimate.shared_tokens = facts.shared_tokens
            self.estimate.max_length = facts.max_length
        self._dispatch.serve()

    def _note(self, waiter: Waiter, scores: Scores) -> None:
        """Learn from an answer, and count it."""
        assert waiter.lease is not None
        shard, job, now = waiter.lease[0], waiter.job, time.monotonic()
        tokens, documents = sum(scores.tokens), len(scores.margins)
        spent = tokens - scores.saved_tokens
        shard.standing.answered()
        self._door.learn(spent, scores.compute_ns / 1e9)
        pairs = sum(scores.passages) or documents
        if not scores.truncated:  # what was not read cost nothing, and says nothing
            self.estimate.learn(pairs=pairs, text_bytes=job.bytes_read(pairs), tokens=tokens)
        self._tallies[shard].add(
            documents=documents, tokens=tokens, seconds=now - waiter.sent, now=now
        )
        job.timeline.note(job_times(shard.spec.name, waiter.joined, waiter.sent, now, scores))
        line_seconds = waiter.sent - waiter.joined
        count_answer(
            self._metrics, self.spec.name, shard.spec.name, scores, line_seconds=line_seconds
        )

    def note_result(self, scored: Sequence[Scored], tied: int) -> None:
        """Count the scores that a client gets; `tied` of them are those of other documents."""
        margins = [one.margin for one in scored if math.isfinite(one.margin)]
        self._scores.add(margins, truncated=sum(one.truncated for one in scored), tied=tied)
        scores = map(self.spec.scale.score, margins)
        self._metrics.result_given(self.spec.name, scores, tied=tied)

    def status(self) -> ModelStatus:
        """Return a snapshot."""
        return model_status(
            self.spec,
            self.facts,
            len(self._dispatch),
            self._tallies,
            self._retries,
            self._scores.status(self.spec.scale),
            refused_pairs=self.quarantine.refused_pairs,
            confined_keys=self.quarantine.confined(time.monotonic()),
            is_draining=self.is_draining,
        )
