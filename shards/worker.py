"""The shard process: read frames, encode, batch, score, reply.

The main thread forms batches and scores; the threads of the *intake* read the control socket and turn
strings into encoded pairs beside it, so that the next batch is encoded while the device runs this one.
They meet at the *desk*. A lone job never waits for company: a batch is formed from whatever is there
when the device becomes free; where that computes by itself, one batch earlier (`shards.device`).

A pair that makes the engine raise costs its own job an error, never its neighbours: the batch is
halved until the pair stands alone. An error that leaves the device unusable ends the process; the
supervisor starts a fresh one, and the gateway has the jobs scored elsewhere.

A shard leads its own session, so that a Ctrl-C meant for the gateway does not reach it, and it dies
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

from shards import devices
from shards.batcher import Batcher, WaitingPair
from shards.budget import TokenBudget
from shards.desk import Desk
from shards.device import Device, Flight, end_if_lost
from shards.engines.base import TellsSteps
from shards.intake import Intake
from shards.process import belong_to
from shards.proof import CanaryFailed
from shards.refusal import Refusal
from shards.start import Started, expected_work, prefixes_of, start
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import ENGINE_ERROR, INVALID_SCORE, Refused
from shards.wire.pipe import PipeClosed, ShardEnd
from shards.wire.spec import ShardSpec
from shards.work import Ledger, Work, joined

_logger = logging.getLogger(__name__)


def main(spec: ShardSpec, socket_fd: int, arena_fd: int, gateway_pid: int) -> None:
    """Run a shard until it is stopped; the target of the spawned process.

    It ends without Python's finalisation, which takes long after torch and has nothing to do here.
    """
    belong_to(gateway_pid)
    faulthandler.enable()
    logging.basicConfig(format=f"shard {spec.name} %(levelname)s: %(message)s")
    pipe = ShardEnd(socket_fd, arena_fd, spec.generation)
    code = _run(spec, pipe)
    logging.shutdown()
    os._exit(code)


def _run(spec: ShardSpec, pipe: ShardEnd) -> ExitCode:
    """Load, serve, and say how it ended."""
    try:
        started = start(spec, pipe)
        budget = TokenBudget(started.engine.facts.token_budget, spec.first_token_budget)
        Shard(started, pipe, budget).run()
    except PipeClosed:
        pass  # the gateway is gone, nobody is left to answer
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
        self._engine = started.engine
        self._pipe = pipe
        self._budget = budget
        batcher = Batcher(budget, packed=started.engine.facts.packed)
        self._desk = Desk(pipe.send, batcher, budget, prefixes_of(started.engine))
        self._pace = started.pace
        self._device = Device(started.engine, pipe.arena, started.pace, self._desk.wake)
        self._proof = started.proof
        self._ledger = Ledger()
        self._works: list[Work] = []  # of what is being scored, in order

    def run(self) -> None:
        """Score until stopped and empty."""
        if isinstance(self._engine, TellsSteps):
            self._engine.on_step = self._pipe.arena.batch_moved
        most = self._engine.facts.token_budget
        Intake(self._pipe, self._engine.encoder, self._desk, token_budget=most).start()
        flights = self._device.flights
        while (batch := self._next_batch()) or flights:
            if batch:
                self._device.begin(batch)
            if self._device.is_full or not batch:
                self._score(flights[0])

    def _next_batch(self) -> list[WaitingPair]:
        """Wait for pairs; empty when a flight could land first, or when all is answered."""
        rounds, flights = self._proof.rounds, self._device.flights
        while True:
            self._desk.fail_overdue(time.monotonic_ns())
            is_due = rounds.is_due(time.monotonic()) and not self._desk.is_stopping
            if is_due and not flights:
                self._prove_again()
            if batch := self._desk.next_batch():
                return batch
            if self._desk.is_finished or self._device.could_land:
                return []
            seconds = None if flights else rounds.wait_seconds(time.monotonic())
            self._desk.wait_for_pairs(seconds, lambda: self._device.could_land)

    def _prove_again(self) -> None:
        """Score a few known pairs between two batches; end if they score what they should not."""
        self._pipe.arena.batch_started(
            (), now_ns=time.monotonic_ns(), expected_ns=self._pace.expected_ns(self._proof.tokens)
        )
        try:
            said = self._proof.again()
        except Exception as error:
            end_if_lost(error)
            raise
        self._pipe.arena.batch_done()
        self._proof.rounds.done(time.monotonic())
        self._pipe.send(said)
        if said.findings:
            raise CanaryFailed(said.findings)

    def _score(self, flight: Flight) -> None:
        self._works = []
        margins = self._margins(flight)
        done_ns, work = time.monotonic_ns(), joined(self._works)
        for reply in self._desk.scored(flight.batch, margins, flight.started_ns, done_ns, work):
            self._pipe.send(self._ledger.tell(reply))

    def _margins(self, flight: Flight) -> list[float]:
        """Let a flight land; where the engine raised, halve it down to the pair that is at fault."""
        try:
            margins = self._device.land(flight)
        except Exception as error:
            return self._margins_of_halves(flight.batch, error)
        self._note(flight)
        for waiting, margin in zip(flight.batch, margins, strict=True):
            if not math.isfinite(margin):
                self._proof.rounds.is_doubted = True
                self._desk.fail(waiting.job, INVALID_SCORE, str(margin), waiting.document)
        return margins

    def _note(self, flight: Flight) -> None:
        """Learn from a batch that was computed, and remember what there is to tell of it."""
        self._pace.learn(sum(flight.work.computed), flight.took_ns)
        self._budget.fitted()
        self._proof.rounds.batch_done(time.monotonic())
        self._ledger.note(flight.work, flight.took_ns)
        self._works.append(flight.work)

    def _margins_of_halves(self, batch: Sequence[WaitingPair], error: Exception) -> list[float]:
        if devices.is_out_of_memory(error):
            self._make_room(batch, error)
        if len(batch) > 1:
            middle = len(batch) // 2
            halves = batch[:middle], batch[middle:]
            return [margin for half in halves for margin in self._margins(self._device.begin(half))]
        _logger.error("a pair could not be scored: %s", error, exc_info=error)
        self._desk.fail(batch[0].job, ENGINE_ERROR, type(error).__name__, batch[0].document)
        self._works.append(Work([0], [0]))
        return [math.nan]

    def _make_room(self, batch: Sequence[WaitingPair], error: Exception) -> None:
        """Batches were too large for the memory there is: smaller ones from now on."""
        pairs = [waiting.pair for waiting in batch]
        self._budget.did_not_fit(sum(expected_work(self._engine, pairs).computed))
        _logger.warning("token budget lowered to %d: %s", self._budget.tokens, error)
        devices.free_memory()
