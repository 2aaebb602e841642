"""One model: its replicas, the admission of its requests, and the estimates learnt from answers.

The way of its jobs is in `job_scorer`.
"""

import logging
import random
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.config import ModelSpec
from gateway.domain.errors import GatewayError, ModelUnavailable
from gateway.domain.job import Job
from gateway.domain.request import Caller
from gateway.scheduling.accounting import Accounting
from gateway.scheduling.admission import (
    Admission,
    AdmissionRequest,
    drained,
    loading,
    overloaded,
    unavailable,
)
from gateway.scheduling.dispatch import Dispatch, QueuedJob
from gateway.scheduling.job_scorer import JobScorer
from gateway.scheduling.policy import FleetPolicy
from gateway.scheduling.presence import Presence
from gateway.scheduling.quarantine import Quarantine
from gateway.scheduling.replica_set import ReplicaSet
from gateway.scheduling.retry_budget import RetryBudget
from gateway.scheduling.snapshot import model_status
from gateway.scheduling.token_estimate import Capacity, TokenEstimate
from gateway.supervision.replica import WINDOW_BATCHES
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ModelStatus
from shards.wire.messages import Scores

_logger = logging.getLogger(__name__)

_RETRY_SPREAD = (0.8, 1.2)
_CONFINED = "key %s repeatedly sends pairs that end shards of %s: its pairs are scored in isolation"


class Model:
    """One model.

    Attributes:
        spec: its entry in the configuration.
        replicas: its supervised shards.
        scorer: scores its jobs.
        quarantine: its suspected pairs, and those that are refused because they ended shards.
        accounting: the counts of its answers.
        presence: its loads, and its use.
        occupant: its place in the memory for all models.
        is_draining: whether it rejects new requests.
    """

    def __init__(
        self, spec: ModelSpec, policy: FleetPolicy, metrics: Metrics, revision: int = 1
    ) -> None:
        self.spec = spec
        self.is_draining = False
        self._entered = 0
        self.presence = Presence(is_wanted=False)
        self.quarantine = Quarantine(secrets.token_bytes(32))
        self.replicas = ReplicaSet(
            spec,
            policy,
            revision=revision,
            on_change=self._on_change,
            on_suspects=self._on_suspects,
        )
        self.accounting = Accounting(spec.name, self.replicas, metrics)
        self._estimate = TokenEstimate()
        self._admission = Admission(policy.queue_tokens)
        self._retries = RetryBudget(policy.retries, len(spec.shards))
        self._dispatch = Dispatch(list(self.replicas), self.quarantine, self._unavailable)
        self.scorer = JobScorer(
            spec.name,
            self._dispatch,
            self.quarantine,
            self._retries,
            metrics,
            on_answer=self._on_answer,
        )
        self.occupant = policy.room.occupant(self, revision)
        self._room = policy.room
        self.replicas.unload()
        if spec.load == "start":
            self.load()

    def __repr__(self) -> str:
        ready, queued = len(self.replicas.ready), len(self._dispatch)
        return f"<Model {self.spec.name} [{ready} ready, {queued} queued]>"

    @property
    def can_score(self) -> bool:
        """True if a request would be scored now."""
        return bool(self.replicas.ready) and not self.is_draining

    @property
    def is_idle(self) -> bool:
        """True if it is not loaded, and the next request loads it."""
        return not self.presence.is_wanted and not self.is_draining

    @property
    def jobs(self) -> tuple[int, int]:
        """The jobs in its queue, and those inside its shards."""
        return len(self._dispatch), sum(shard.replica.queue for shard in self.replicas)

    @property
    def capacity(self) -> Capacity:
        """The values by which a request is cut into jobs."""
        return Capacity(
            estimate=self._estimate,
            replicas=len(self.replicas.ready),
            token_budget=self.replicas.token_budget,
            long_documents=self.spec.long_documents,
        )

    async def run(self) -> None:
        """Run all shards until `stop`."""
        await self.replicas.run(lambda: self.spec.max_shard_memory_mb)

    def load(self, *, may_evict: bool = True) -> None:
        """Load the model unless it is loaded; one that was given up is tried again.

        Args:
            may_evict: whether others make room for it; if not, it is not loaded without room.
        """
        now = time.monotonic()
        if self.presence.want(now):
            self.occupant.ask(now, may_evict=may_evict)
        elif self.occupant.waits_since is None:
            self.replicas.load()

    def unload(self) -> None:
        """Unload the model as soon as it is empty, unless another request comes before that."""
        self.presence.is_leaving = self.presence.is_wanted
        self.unload_if_due()

    def unload_if_due(self) -> None:
        """Unload the model if it is empty, and is to leave by its idle time or its operator."""
        is_leaving, now = self.presence.is_leaving, time.monotonic()
        if self.is_draining or not self.is_empty:
            return
        if is_leaving or (self.can_score and self.presence.is_due(now, self.spec.idle_seconds)):
            self.presence.leave()
            reason = "by its operator" if is_leaving else f"idle for {self.spec.idle_seconds:g} s"
            _logger.info("model is unloaded: %s", reason, extra={"model": self.spec.name})
            self.replicas.unload()

    @property
    def is_empty(self) -> bool:
        """True if no request, and no job of a shadow, is inside."""
        inside = (
            self._entered > self.occupant.held_back or self._admission.tokens or len(self._dispatch)
        )
        return not inside and not any(shard.replica.queue for shard in self.replicas)

    def stop(self) -> None:
        """Let all shards finish their jobs; `run` returns when they have ended."""
        self.replicas.stop()
        self._dispatch.serve()  # jobs that wait for room fail

    def drain(self) -> None:
        """Reject new requests; `stop` when those that were admitted have finished."""
        self.is_draining = True
        self._stop_if_drained()

    def _stop_if_drained(self) -> None:
        if self.is_draining and not self._entered and not self._admission.tokens:
            self.stop()

    def status(self) -> ModelStatus:
        """Return a snapshot."""
        return model_status(
            self.spec,
            self.replicas,
            self.accounting,
            self._retries,
            self.quarantine,
            queue=len(self._dispatch),
            is_draining=self.is_draining,
            presence=self.presence,
            occupant=self.occupant,
        )

    def seconds_of(self, tokens: int) -> float:
        """Return the time that one replica takes for so many tokens; 0 before it is known."""
        return self._admission.seconds_of(tokens)

    def tokens_in(self, seconds: float) -> int:
        """Return the tokens that one replica computes in so many seconds; 0 before it is known."""
        return self._admission.tokens_in(seconds)

    @property
    def admitted_tokens(self) -> int:
        """The estimated tokens of all requests that were admitted and have not ended."""
        return self._admission.tokens

    # -- admission ---------------------------------------------------------------------------------

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let a request look for kept scores while the block runs; it may cost the model nothing.

        Drained or replaced in the meantime, the model stops after it.

        Raises:
            ModelDrained: the operator has taken the model out of service.
            ModelUnavailable: no shard is ready or starting.
        """
        if refusal := self._out_of_service():
            raise refusal
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1
            self._has_left()

    @contextmanager
    def admitted(self, request: AdmissionRequest, *, has_entered: bool = False) -> Iterator[None]:
        """Admit a request while the block runs, or reject it.

        Args:
            request: the request.
            has_entered: whether it has entered, so that a drained model scores it as well.

        Raises:
            ModelDrained: the operator has taken the model out of service.
            ModelUnavailable: no shard is ready or starting.
            Overloaded: it could not be answered in time, or too much is admitted already.
        """
        if refusal := self._refusal(request, has_entered=has_entered):
            raise refusal
        self._wake(request)
        self._admission.enter(request)
        number = self.presence.arrive(time.monotonic())
        try:
            yield
        finally:
            self._admission.leave(request)
            self.presence.depart(number, time.monotonic())
            self._has_left()

    def _wake(self, request: AdmissionRequest) -> None:
        """Load the model for a request; a request that cannot wait so long is refused.

        Raises:
            ModelUnavailable: the load takes longer than the request may wait, or there is no room.
        """
        now = time.monotonic()
        if self.presence.want(now):
            _logger.info("model is loaded for a request", extra={"model": self.spec.name})
            self.occupant.ask(now)
        if self.replicas.ready:
            return
        seconds = request.remaining_seconds - self.seconds_of(request.tokens)
        if refusal := self.occupant.refusal(now, seconds):
            raise refusal
        left = self.presence.seconds_left(now)
        if self.occupant.waits_since is None and left > seconds:
            raise loading(self.spec.name, request.remaining_seconds, left)

    def _has_left(self) -> None:
        """Stop or unload the model after its last request, if it was drained or unloaded."""
        self._stop_if_drained()
        if self.presence.is_leaving:
            self.unload_if_due()
        self._room.look_soon()

    def _out_of_service(self, *, has_entered: bool = False) -> GatewayError | None:
        if self.is_draining and not has_entered:
            return drained(self.spec.name)
        return None if self._dispatch.is_alive else self._unavailable()

    def refusal_of_any(self, caller: Caller, remaining_seconds: float) -> GatewayError | None:
        """Return why even the smallest request is rejected, if it is; its body need not be read."""
        smallest = AdmissionRequest(
            tokens=self._estimate.prompt_tokens,
            is_small=True,
            remaining_seconds=remaining_seconds,
            caller=caller,
        )
        return self._refusal(smallest)

    def _refusal(
        self, request: AdmissionRequest, *, has_entered: bool = False
    ) -> GatewayError | None:
        if refusal := self._out_of_service(has_entered=has_entered):
            return refusal
        replicas = len(self.replicas.ready)
        window = WINDOW_BATCHES * self.replicas.token_budget * replicas
        rejection = self._admission.check(request, replicas=replicas, window_tokens=window)
        if rejection is None:
            return None
        return overloaded(self.spec.name, request, rejection, random.uniform(*_RETRY_SPREAD))

    def _unavailable(self) -> ModelUnavailable:
        return unavailable(self.spec.name, self.replicas.last_errors)

    # -- events of its shards ----------------------------------------------------------------------

    def _on_change(self) -> None:
        """Hand out jobs after a change at a shard."""
        if facts := self.replicas.last_facts:
            self._estimate = self._estimate.with_facts(facts)
        if self.replicas.ready and (seconds := self.presence.is_loaded(time.monotonic())):
            name = self.spec.name
            _logger.info("model is ready", extra={"model": name, "seconds": round(seconds, 2)})
        if not self._dispatch.is_alive:
            self.presence.end_load(time.monotonic())
        self._room.look_soon()
        self._dispatch.serve()

    def _on_answer(self, queued: QueuedJob, scores: Scores) -> None:
        """Count an answer; learn the trust in its shard, the speed and the cost of texts."""
        assert queued.assignment is not None  # a shard has answered
        queued.assignment[0].outliers.record_answer()
        tokens = sum(scores.tokens)
        self._admission.learn(tokens - scores.saved_tokens, scores.compute_ns / 1e9)
        if not scores.truncated:  # the bytes that were not read cost nothing
            pairs = sum(scores.passages) or len(scores.margins)
            text_bytes = queued.job.bytes_read(pairs)
            if queued.job.payload.side:  # as if each text had the query that pairs share
                tokens += pairs * self._estimate.shared_tokens
            self._estimate = self._estimate.learn(pairs=pairs, text_bytes=text_bytes, tokens=tokens)
        self.accounting.job_answered(queued, scores, time.monotonic())

    def _on_suspects(self, jobs: Iterable[Job]) -> None:
        """Suspect the pairs that a shard was scoring when it ended by itself; refuse a lone one."""
        now = time.monotonic()
        jobs = list(jobs)
        if jobs:
            self.quarantine.shard_ended(now)
        for job in jobs:
            for query, document in job.pairs:
                if job.is_isolated:
                    if self.quarantine.refuse(query, document, now, job.caller.id):
                        _logger.warning(_CONFINED, job.caller.id, self.spec.name)
                    self.replicas.forgive_device()
                else:
                    self.quarantine.suspect(query, document, now)
