"""The main thread of a shard process: batch, score, reply.

The threads of the *intake* read the control socket and turn strings into tokenized pairs beside it,
so that the next batch is tokenized while the device runs this one. They meet at the *scheduler*. A
lone job never waits for company: a batch is formed from the waiting pairs when the device becomes
free; where the device computes asynchronously, one batch earlier (`shards.worker.runner`).

A pair that makes the engine raise fails its own job and no other: the batch is halved until the
pair is isolated. An error that leaves the device unusable ends the process; the supervisor starts a
fresh one, and the gateway has the jobs scored elsewhere.

A shard leads its own session, so that a Ctrl-C meant for the gateway does not reach it. It dies
with the gateway: by the kernel's parent-death signal on Linux, and everywhere by the end of the
stream on its control socket.
"""

import faulthandler
import logging
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from shards.cost import BatchReport, Work, joined
from shards.engines.base import ReportsSteps
from shards.machine import devices
from shards.machine.process import belong_to
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import ENGINE_ERROR, INVALID_SCORE, Refused, in_packets
from shards.wire.pipe import PipeClosed, ShardEnd
from shards.wire.spec import ShardSpec
from shards.worker.batcher import Batcher, TokenBudget, WaitingPair
from shards.worker.canary_check import CanaryFailed
from shards.worker.intake import Intake
from shards.worker.runner import (
    InFlightBatch,
    Runner,
    exit_if_device_lost,
    expected_work,
    prefixes_of,
)
from shards.worker.scheduler import Scheduler
from shards.worker.startup import Started, start

_logger = logging.getLogger(__name__)


def main(spec: ShardSpec, socket_fd: int, arena_fd: int, gateway_pid: int) -> None:
    """Run a shard until it is stopped; the target of the spawned process.

    It ends without Python's finalisation, which takes long after torch and is of no use here.
    """
    belong_to(gateway_pid)
    faulthandler.enable()
    logging.basicConfig(format=f"shard {spec.name} %(levelname)s: %(message)s")
    pipe = ShardEnd(socket_fd, arena_fd, spec.generation)
    code = _run(spec, pipe)
    logging.shutdown()
    os._exit(code)


def _run(spec: ShardSpec, pipe: ShardEnd) -> ExitCode:
    """Load and serve; return the exit code."""
    try:
        started = start(spec, pipe)
        budget = TokenBudget(started.engine.facts.token_budget, spec.first_token_budget)
        Shard(started, pipe, budget).run()
    except PipeClosed:
        pass  # the gateway is gone, no answer can be sent
    except Refusal as refusal:
        with suppress(PipeClosed):
            pipe.send(Refused(refusal.exit_code, str(refusal)))
        return refusal.exit_code
    except Exception:
        _logger.critical("the shard failed", exc_info=True)
        return ExitCode.INTERNAL
    return ExitCode.STOPPED


class Shard:
    """A loaded engine at its end of the pipe."""

    def __init__(self, started: Started, pipe: ShardEnd, budget: TokenBudget) -> None:
        engine = started.engine
        batcher = Batcher(budget, packed=engine.facts.packed)
        self._engine = engine
        self._pipe = pipe
        self._budget = budget
        self._scheduler = Scheduler(pipe.send, batcher, budget, prefixes_of(engine))
        self._batch_time = started.batch_time
        self._runner = Runner(engine, pipe.arena, started.batch_time, self._scheduler.wake)
        self._canary_check = started.canary_check
        self._report = BatchReport()

    def run(self) -> None:
        """Score until stopped and empty."""
        if isinstance(self._engine, ReportsSteps):
            self._engine.on_step = self._pipe.arena.batch_advanced
        most = self._engine.facts.token_budget
        Intake(self._pipe, self._engine.tokenizer, self._scheduler, token_budget=most).start()
        in_flight = self._runner.in_flight
        while (batch := self._next_batch()) or in_flight:
            if batch:
                self._runner.begin(batch)
            if self._runner.is_full or not batch:
                self._score(in_flight[0])

    def _next_batch(self) -> list[WaitingPair]:
        """Wait for pairs; empty when a batch in flight could land first, or all is answered."""
        rounds, in_flight = self._canary_check.rounds, self._runner.in_flight
        while True:
            self._scheduler.fail_overdue(time.monotonic_ns())
            is_due = rounds.is_due(time.monotonic()) and not self._scheduler.is_stopping
            if is_due and not in_flight:
                self._check_canaries_again()
            if batch := self._scheduler.next_batch():
                return batch
            if self._scheduler.is_finished or self._runner.could_land:
                return []
            seconds = None if in_flight else rounds.wait_seconds(time.monotonic())
            self._scheduler.wait_for_pairs(seconds, lambda: self._runner.could_land)

    def _check_canaries_again(self) -> None:
        """Score a few known pairs between two batches; end the shard if they score otherwise."""
        self._pipe.arena.batch_started(
            (),
            now_ns=time.monotonic_ns(),
            expected_ns=self._batch_time.expected_ns(self._canary_check.tokens),
        )
        try:
            canary = self._canary_check.again()
        except Exception as error:
            exit_if_device_lost(error)
            raise
        self._pipe.arena.batch_done()
        self._canary_check.rounds.done(time.monotonic())
        self._pipe.send(canary)
        if canary.findings:
            raise CanaryFailed(canary.findings)

    def _score(self, in_flight: InFlightBatch) -> None:
        margins, work = self._land(in_flight)
        done_ns = time.monotonic_ns()
        for reply in self._scheduler.batch_scored(
            in_flight.batch, margins, in_flight.started_ns, done_ns, work
        ):
            for message in in_packets(replace(reply, **self._report.take())):
                self._pipe.send(message)

    def _land(self, in_flight: InFlightBatch) -> tuple[list[float], Work]:
        """Return margins and cost of a batch; where the engine raised, halve it to the culprit."""
        try:
            margins = self._runner.land(in_flight)
        except Exception as error:
            return self._land_halves(in_flight.batch, error)
        self._budget.fitted()
        self._canary_check.rounds.batch_done(time.monotonic())
        self._report.add(in_flight.work, in_flight.took_ns)
        for waiting, margin in zip(in_flight.batch, margins, strict=True):
            if not math.isfinite(margin):
                self._canary_check.rounds.is_doubted = True
                self._scheduler.fail(waiting.job, INVALID_SCORE, str(margin), waiting.document)
        return margins, in_flight.work

    def _land_halves(
        self, batch: Sequence[WaitingPair], error: Exception
    ) -> tuple[list[float], Work]:
        if devices.is_out_of_memory(error):
            self._lower_budget(batch, error)
        if len(batch) > 1:
            middle = len(batch) // 2
            first, first_work = self._land(self._runner.begin(batch[:middle]))
            second, second_work = self._land(self._runner.begin(batch[middle:]))
            return [*first, *second], joined([first_work, second_work])
        _logger.error("a pair could not be scored: %s", error, exc_info=error)
        self._scheduler.fail(batch[0].job, ENGINE_ERROR, type(error).__name__, batch[0].document)
        return [math.nan], Work([0], [0])

    def _lower_budget(self, batch: Sequence[WaitingPair], error: Exception) -> None:
        """Form smaller batches from now on, since this one exceeded the memory."""
        pairs = [waiting.pair for waiting in batch]
        self._budget.did_not_fit(sum(expected_work(self._engine, pairs).computed))
        _logger.warning("token budget lowered to %d: %s", self._budget.tokens, error)
        devices.free_memory()
