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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.admission import Admission, Ask, Refused
from gateway.config import ModelSpec, Settings
from gateway.errors import ModelUnavailable, Overloaded
from gateway.job import Job, merged
from gateway.lifecycle import RestartPolicy, State
from gateway.metrics import Metrics
from gateway.quarantine import Held, Poison, Quarantine
from gateway.queue import Line
from gateway.replica import WINDOW_BATCHES, ReplicaLost
from gateway.snapshot import model_status
from gateway.status import ModelStatus
from gateway.supervisor import Supervisor, Times
from gateway.tally import Tally
from shards.wire.messages import Ready, Scores

_logger = logging.getLogger(__name__)

_FIRST_TOKENS_PER_BYTE = 0.3  # English has about 0.25; soon measured
_PAIR_TOKENS = 8  # what even an empty pair costs
_FIRST_TOKEN_BUDGET = 4096  # until a shard has told its own
_LEARNING_RATE = 0.1
_RETRY_SPREAD = (0.8, 1.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPolicy:
    """What all models of a gateway share.

    Attributes:
        restart: when a lost shard is started again.
        times: how patient the supervisors are.
        queue_tokens: the most estimated tokens of one model's requests at any time.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    times: Times = field(default_factory=Times)
    queue_tokens: int = 2_000_000

    @classmethod
    def of(cls, settings: Settings) -> "FleetPolicy":
        """Return what the settings say."""
        supervision = settings.supervision
        times = Times(
            load_timeout_seconds=supervision.load_timeout_seconds,
            stop_seconds=supervision.stop_seconds,
        )
        return cls(
            restart=supervision.policy(), times=times, queue_tokens=settings.limits.queue_tokens
        )


@dataclass(eq=False, slots=True)
class _Waiter:
    """A job in line, or inside a replica; `scores` is resolved by the replica."""

    job: Job
    known: int  # convictions that have been held against the job
    scores: asyncio.Future[Scores] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    lease: tuple[Supervisor, int] | None = None  # who has it, and its id there

    @property
    def is_small(self) -> bool:
        return self.job.is_small


class Model:
    """One model: its line, its replicas and their supervisors.

    Attributes:
        spec: its entry in the configuration.
        quarantine: the pairs that are refused because they ended shards.
        tokens_per_byte: measured on the answered jobs; what the cost of a job is estimated by.
    """

    def __init__(self, spec: ModelSpec, policy: FleetPolicy, metrics: Metrics) -> None:
        self.spec = spec
        self.tokens_per_byte = _FIRST_TOKENS_PER_BYTE
        self._metrics = metrics
        self._door = Admission(policy.queue_tokens)
        self.quarantine = Quarantine(secrets.token_bytes(32))
        self._verdict = asyncio.Event()  # replaced with every verdict on a suspect
        self._line: Line[_Waiter] = Line()
        self._suspects: Line[_Waiter] = Line()
        self._supervisors = [
            Supervisor(shard, policy=policy.restart, times=policy.times, on_change=self._serve)
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

    def tokens(self, text_bytes: int) -> int:
        """Estimate the cost of a pair of so many bytes."""
        tokens = _PAIR_TOKENS + int(text_bytes * self.tokens_per_byte)
        return min(tokens, self.facts.max_length) if self.facts else tokens

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
            Poison: one of its pairs has ended two shards.
            ModelUnavailable: no shard is left that could.
            GatewayError: the shard answered with an error.
        """
        known = self.quarantine.convictions  # the request was looked at just now
        while True:
            try:
                return await self._attempt(job, known)
            except Held:
                await self._verdict.wait()
            except ReplicaLost as loss:
                self._metrics.job_retried(self.spec.name)
                _logger.info("a job of %s is scored again: %s", self.spec.name, loss)
                if loss.is_suspect:
                    return await self._score_one_by_one(job, known)

    async def _score_one_by_one(self, job: Job, known: int) -> Scores:
        """Score the pairs of a suspect, each alone in the designated replica."""
        suspects = list(job.pairs)
        for suspect in suspects:
            self.quarantine.suspect(*suspect)
        answers: list[Scores] = []
        try:
            for place, pair in enumerate(job.one_by_one()):
                answers.append(await self._score_alone(pair, place, known))
                self._absolve(suspects[place])
        finally:
            for suspect in suspects[len(answers) :]:
                self._absolve(suspect)
        return merged(answers)

    async def _score_alone(self, pair: Job, place: int, known: int) -> Scores:
        while True:
            try:
                return await self._attempt(pair, known)
            except Poison:  # by the verdict on a copy
                raise Poison(place) from None
            except ReplicaLost as loss:
                self._metrics.job_retried(self.spec.name)
                if loss.is_suspect:
                    self.quarantine.add(pair.queries[0], pair.documents[0], time.monotonic())
                    raise Poison(place) from None

    def _absolve(self, suspect: tuple[str, str]) -> None:
        """End a suspicion and let those who wait for it look again."""
        self.quarantine.absolve(*suspect)
        self._verdict.set()
        self._verdict = asyncio.Event()

    async def _attempt(self, job: Job, known: int) -> Scores:
        """Have a job scored once; `known` convictions have been held against it already."""
        waiter = _Waiter(job, known)
        started = time.monotonic()
        scores = await self._scores(waiter)
        self._note(waiter, scores, time.monotonic() - started)
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

    def _line_of(self, waiter: _Waiter) -> Line[_Waiter]:
        return self._suspects if waiter.job.is_solo else self._line

    def _serve(self) -> None:
        """Hand out what fits; fail everybody when no shard is left that could come."""
        ready = [one for one in self._supervisors if one.state is State.READY]
        if self._suspects:
            # One replica is theirs, and takes nothing else before they are through.
            tried = [one for one in self._supervisors if one.replica.has_suspect]
            designated = (tried or ready)[:1]
            self._hand_out(self._suspects, [one for one in designated if one in ready])
            ready = [one for one in ready if one not in designated]
        self._hand_out(self._line, ready)
        if not self._is_alive:
            self._fail_all()

    def _hand_out(self, line: Line[_Waiter], shards: Sequence[Supervisor]) -> None:
        while (waiter := line.first()) and (shard := _idlest(shards, waiter.job)):
            if objection := self._objection(waiter):
                line.leave(waiter)
                waiter.scores.set_exception(objection)
                continue
            job_id = shard.replica.submit(waiter.job, waiter.scores)
            if job_id is not None:
                waiter.lease = (shard, job_id)
                line.served(waiter)

    def _objection(self, waiter: _Waiter) -> Exception | None:
        job, now = waiter.job, time.monotonic()
        return self.quarantine.objection(job.pairs, waiter.known, now, is_suspect=job.is_solo)

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
            "`gateway status` shows its shards"
        )

    def _note(self, waiter: _Waiter, scores: Scores, seconds: float) -> None:
        """Learn from an answer, and count it."""
        assert waiter.lease is not None
        shard, job, tokens = waiter.lease[0], waiter.job, sum(scores.tokens)
        self._door.learn(tokens, scores.compute_ns / 1e9)
        density = tokens / max(1, job.text_bytes)
        self.tokens_per_byte += (density - self.tokens_per_byte) * _LEARNING_RATE
        self._tallies[shard].add(
            documents=len(scores.margins), tokens=tokens, seconds=seconds, now=time.monotonic()
        )
        self._metrics.job_answered(
            self.spec.name,
            shard.spec.name,
            documents=len(scores.margins),
            tokens=tokens,
            padded_tokens=scores.computed_tokens - tokens,
            truncated=len(scores.truncated),
            queue_seconds=scores.queue_ns / 1e9,
            compute_seconds=scores.compute_ns / 1e9,
        )

    def status(self) -> ModelStatus:
        """Return a snapshot."""
        queue = len(self._line) + len(self._suspects)
        return model_status(self.spec, self.facts, queue, self._tallies)


def _idlest(shards: Sequence[Supervisor], job: Job) -> Supervisor | None:
    """Return the shard with the fewest outstanding tokens of those that have room."""
    with_room = [one for one in shards if one.replica.has_room(job)]
    return min(with_room, key=lambda one: one.replica.outstanding_tokens, default=None)
