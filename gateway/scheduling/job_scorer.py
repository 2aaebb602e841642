"""The way of a job: queued, scored by a replica, scored again where that is due.

A job is scored by the first replica that has room for it (`dispatch`). If that one is lost, the job
is scored again, until its deadline, since scoring has no side effects; but within the retry budget.
An error is believed when a second replica makes it, too (`outlier_detection`). A job with a
suspected pair is scored pair by pair, in isolation (`quarantine`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.domain.errors import EngineFailed
from gateway.domain.job import Job, merged
from gateway.domain.pair_faults import DOUBTFUL, QUARANTINED, PairFault
from gateway.scheduling.admission import retry_budget_spent
from gateway.scheduling.dispatch import Dispatch, QuarantineChanged, QueuedJob
from gateway.scheduling.quarantine import Quarantine
from gateway.scheduling.retry_budget import RetryBudget
from gateway.supervision.replica import ReplicaLost
from gateway.telemetry.metrics import Metrics
from shards.wire.messages import Scores

_logger = logging.getLogger(__name__)


class JobScorer:
    """The way of the jobs of one model."""

    def __init__(
        self,
        model: str,
        dispatch: Dispatch,
        quarantine: Quarantine,
        retries: RetryBudget,
        metrics: Metrics,
        *,
        on_answer: Callable[[QueuedJob, Scores], None],
    ) -> None:
        self._model = model
        self._dispatch = dispatch
        self._quarantine = quarantine
        self._retries = retries
        self._metrics = metrics
        self._on_answer = on_answer

    async def score(self, job: Job) -> Scores:
        """Return the scores of a job.

        Raises:
            PairFault: one of its pairs cannot be scored.
            ModelUnavailable: no shard is left that could score it.
            RetryBudgetSpent: its shard ended, and too many jobs were scored again lately.
            GatewayError: the shard answered with an error.
        """
        self._retries.add_job(time.monotonic())
        while not self._quarantine.isolates_any(job.pairs, time.monotonic(), job.caller.id):
            try:
                return await self._attempt(job)
            except QuarantineChanged:
                continue
            except ReplicaLost as loss:
                self._note_loss(loss)
        return await self._score_in_isolation(job)

    async def probe(self, job: Job) -> Scores:
        """Have a job scored once; nothing is counted or learnt.

        Raises:
            ReplicaLost: its shard ended.
            GatewayError: as `score`.
        """
        return await self._answer(self._dispatch.join(job))

    async def _attempt(self, job: Job) -> Scores:
        """Have a job scored; raise an error only if a second replica makes it, too."""
        queued = self._dispatch.join(job)
        try:
            scores = await self._answer(queued)
        except (PairFault, EngineFailed) as error:
            if not self._is_doubtful(queued, error):
                raise
            queued, scores = await self._second_opinion(queued)
        self._on_answer(queued, scores)
        return scores

    async def _answer(self, queued: QueuedJob) -> Scores:
        """Wait for the answer to a job; withdraw the job when the waiting is cancelled."""
        try:
            return await queued.scores
        except asyncio.CancelledError:
            self._metrics.job_cancelled(self._model)
            self._dispatch.withdraw(queued)
            raise

    def _is_doubtful(self, queued: QueuedJob, error: PairFault | EngineFailed) -> bool:
        """Return whether the error may be the replica's, and another one can be asked."""
        assert queued.assignment is not None  # a shard has answered
        may_be_of_replica = isinstance(error, EngineFailed) or error.code in DOUBTFUL
        return (
            may_be_of_replica
            and not queued.job.is_isolated
            and self._dispatch.has_other_than(queued.assignment[0])
            and self._retries.take_to_doubt(time.monotonic())
        )

    async def _second_opinion(self, first: QueuedJob) -> tuple[QueuedJob, Scores]:
        """Have another replica score a job; eject the first one if that succeeds too often."""
        assert first.assignment is not None
        shard = first.assignment[0]
        self._metrics.job_retried(self._model)
        streak = shard.outliers.current_streak()
        second = self._dispatch.join(first.job, not_on=shard)
        scores = await self._answer(second)
        if not second.is_with(shard) and self._dispatch.contradicted(shard, streak):
            shard.log.warning("shard is ejected for a while: it errs")
        return second, scores

    def _note_loss(self, loss: ReplicaLost) -> None:
        """Count a lost job that is scored again.

        Raises:
            RetryBudgetSpent: too many jobs were scored again lately.
        """
        if not self._retries.take(time.monotonic()):
            self._metrics.retry_refused(self._model)
            raise retry_budget_spent(self._model, str(loss)) from loss
        self._metrics.job_retried(self._model)
        _logger.info("a job of %s is scored again: %s", self._model, loss)

    async def _score_in_isolation(self, job: Job) -> Scores:
        """Have each pair of a job scored with nothing beside it; the first error ends the others.

        All pairs are queued at once, so that their replica is kept for them: between one and the
        next it would fill up with other jobs, and would have to be emptied again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                answers = [
                    group.create_task(self._score_pair(pair, place))
                    for place, pair in enumerate(job.one_by_one())
                ]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return merged([answer.result() for answer in answers])

    async def _score_pair(self, pair: Job, place: int) -> Scores:
        """Have one pair of a suspect scored; `place` is that of the pair in its job."""
        ((query, document),) = pair.pairs
        while not self._quarantine.is_refused(query, document, time.monotonic()):
            try:
                scores = await self._attempt(pair)
            except QuarantineChanged:
                continue
            except ReplicaLost as loss:
                if not self._quarantine.is_refused(query, document, time.monotonic()):
                    self._note_loss(loss)
            except PairFault as fault:
                raise PairFault(fault.code, place, fault.detail) from None
            else:
                self._quarantine.clear(query, document)
                return scores
        raise PairFault(QUARANTINED, place)
