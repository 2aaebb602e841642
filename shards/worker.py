"""The shard process: read frames, encode, batch, score, reply.

Two threads. The *intake* reads the control socket and turns strings into encoded pairs, so that the
next batch is encoded while the device runs this one; the main thread forms batches and scores. They
meet in one lock around the open jobs and the batcher. A lone job never waits for company: a batch is
formed from whatever is there when the device becomes free.

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
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from shards import devices
from shards.batcher import Batcher, WaitingPair
from shards.budget import TokenBudget
from shards.documents import EncodedDocument, encode_documents
from shards.engines.base import TellsSteps
from shards.jobs import Job, OpenJobs
from shards.pairs import Batch, QueryTooLong
from shards.process import belong_to
from shards.proof import CanaryFailed
from shards.refusal import Refusal
from shards.start import Started, expected_work, start, work_of
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import (
    DOCUMENT_TOO_LONG,
    ENGINE_ERROR,
    INVALID_SCORE,
    Cancel,
    Failed,
    Message,
    Refused,
    Score,
    Stop,
    WireError,
)
from shards.wire.pipe import PipeClosed, ShardEnd
from shards.wire.spec import ShardSpec
from shards.work import Ledger, Work, joined

_logger = logging.getLogger(__name__)

_CANCELLED = ("cancelled", "the client left")
_PORTION_BATCHES = 2  # of one job, before others have their turn


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
        self._jobs = OpenJobs()
        self._budget = budget
        self._batcher = Batcher(self._budget, packed=started.engine.facts.packed)
        self._pace = started.pace
        self._proof = started.proof
        self._ledger = Ledger()
        self._works: list[Work] = []  # of what is being scored, in order
        self._device_jobs: frozenset[int] = frozenset()
        self._changed = threading.Condition()
        self._stopping = False

    def run(self) -> None:
        """Score until stopped and empty."""
        if isinstance(self._engine, TellsSteps):
            self._engine.on_step = self._pipe.arena.batch_moved
        threading.Thread(target=self._intake, name="intake", daemon=True).start()
        while batch := self._next_batch():
            self._score(batch)

    # -- intake thread -----------------------------------------------------------------------------

    def _intake(self) -> None:
        try:
            while not self._stopping:
                self._receive(self._pipe.receive())
        except PipeClosed:
            os._exit(ExitCode.STOPPED)  # nobody is left to answer
        except WireError as error:
            _logger.critical("the gateway sent what is no message: %s", error)
            os._exit(ExitCode.INTERNAL)
        except BaseException:
            _logger.critical("the intake failed", exc_info=True)
            os._exit(ExitCode.INTERNAL)

    def _receive(self, message: Message) -> None:
        if isinstance(message, Score):
            self._accept(message)
        elif isinstance(message, Cancel):
            self._drop(message.job)
        elif isinstance(message, Stop):
            with self._changed:
                self._stopping = True
                self._changed.notify()

    def _drop(self, job: int) -> None:
        """Nobody waits for this job any more. It is answered when it takes no room here any more:
        at once, or when the device is done with it, which may be never."""
        with self._changed:
            is_on_device = job in self._device_jobs
            if is_on_device:
                self._jobs.drop(job)
        if not is_on_device:
            self._fail(job, *_CANCELLED)

    def _accept(self, score: Score) -> None:
        job = Job(
            score.job,
            score.deadline_ns,
            time.monotonic_ns(),
            pool_best=score.pool_best,
            in_passages=score.in_passages,
        )
        with self._changed:
            self._jobs.open(job)
        self._pipe.arena.encoding(score.job)
        try:
            documents = encode_documents(self._engine.encoder, score)
        except QueryTooLong as error:
            self._fail(score.job, "query_too_long", str(error))
        except Exception as error:
            _logger.exception("a job could not be encoded")
            self._fail(score.job, ENGINE_ERROR, f"encoding failed: {type(error).__name__}")
        else:
            job.encode_ns = time.monotonic_ns() - job.accepted_ns
            self._admit(job, documents, score)
        self._pipe.arena.encoding(0)

    def _admit(self, job: Job, documents: Sequence[EncodedDocument], score: Score) -> None:
        """Let the job's pairs wait to be scored, unless one of them was cut that must not be."""
        cut = next((at for at, document in enumerate(documents) if document.truncated), None)
        if score.refuse_truncation and cut is not None:
            self._fail(job.id, DOCUMENT_TOO_LONG, f"document {cut} is too long", cut)
            return
        with self._changed:
            job.take(documents)
            self._batcher.add(job.portion(self._portion_tokens))
            self._changed.notify()

    @property
    def _portion_tokens(self) -> int:
        return _PORTION_BATCHES * self._budget.tokens

    # -- main thread -------------------------------------------------------------------------------

    def _next_batch(self) -> list[WaitingPair]:
        """Wait for pairs; empty when the shard is stopped and has answered everything."""
        while True:
            for job in self._overdue():
                self._fail(job, "deadline", "the deadline passed before the pairs were scored")
            if self._proof.rounds.is_due(time.monotonic()) and not self._stopping:
                self._prove_again()
            with self._changed:
                if batch := self._batcher.next_batch(self._jobs):
                    self._device_jobs = frozenset(waiting.job for waiting in batch)
                    return batch
                if self._stopping:
                    return []
                self._changed.wait_for(
                    lambda: len(self._batcher) or self._stopping,
                    timeout=self._proof.rounds.wait_seconds(time.monotonic()),
                )

    def _prove_again(self) -> None:
        """Score a few known pairs between two batches; end if they score what they should not."""
        self._pipe.arena.batch_started(
            (), now_ns=time.monotonic_ns(), expected_ns=self._pace.expected_ns(self._proof.tokens)
        )
        try:
            said = self._proof.again()
        except Exception as error:
            _end_if_device_is_lost(error)
            raise
        self._pipe.arena.batch_done()
        self._proof.rounds.done(time.monotonic())
        self._pipe.send(said)
        if said.findings:
            raise CanaryFailed(said.findings)

    def _overdue(self) -> list[int]:
        with self._changed:
            return self._jobs.overdue(time.monotonic_ns())

    def _score(self, batch: list[WaitingPair]) -> None:
        started_ns = time.monotonic_ns()
        self._works = []
        margins = self._margins(batch)
        work = joined(self._works)
        with self._changed:
            replies = self._jobs.batch_scored(batch, margins, started_ns, time.monotonic_ns(), work)
            self._batcher.add(self._jobs.portions(self._device_jobs, self._portion_tokens))
            dropped, self._device_jobs = self._jobs.dropped(), frozenset()
        for reply in replies:
            self._pipe.send(self._ledger.tell(reply))
        for job in dropped:
            self._pipe.send(Failed(job.id, *_CANCELLED, computed_tokens=job.computed_tokens))

    def _margins(self, batch: Sequence[WaitingPair]) -> list[float]:
        """Score a batch; where the engine raises, halve it down to the pair that is at fault."""
        try:
            margins = self._on_device(batch)
        except Exception as error:
            return self._margins_of_halves(batch, error)
        for waiting, margin in zip(batch, margins, strict=True):
            if not math.isfinite(margin):
                self._fail(waiting.job, INVALID_SCORE, str(margin), waiting.document)
        return margins

    def _on_device(self, batch: Sequence[WaitingPair]) -> list[float]:
        """Call the engine, with a note in the arena of what it works on and for how long."""
        pairs = [waiting.pair for waiting in batch]
        tokens = sum(expected_work(self._engine, pairs).computed)
        jobs = tuple({waiting.job: None for waiting in batch})
        started_ns = time.monotonic_ns()
        self._pipe.arena.batch_started(
            jobs, now_ns=started_ns, expected_ns=self._pace.expected_ns(tokens)
        )
        try:
            margins = self._engine.score(pairs)
            if len(margins) != len(batch):
                raise ValueError(f"{len(margins)} scores for {len(batch)} pairs")
        except Exception as error:
            _end_if_device_is_lost(error)  # while the arena still says what was on it
            self._pipe.arena.batch_done()
            raise
        self._pipe.arena.batch_done()
        took_ns = time.monotonic_ns() - started_ns
        self._note(pairs, took_ns)
        return margins

    def _note(self, pairs: Batch, took_ns: int) -> None:
        """Learn from a batch that was computed, and remember what there is to tell of it."""
        work = work_of(self._engine, pairs)
        self._pace.learn(sum(work.computed), took_ns)
        self._budget.fitted()
        self._proof.rounds.batch_done(time.monotonic())
        self._ledger.note(work, took_ns)
        self._works.append(work)

    def _margins_of_halves(self, batch: Sequence[WaitingPair], error: Exception) -> list[float]:
        if devices.is_out_of_memory(error):
            self._make_room(batch, error)
        if len(batch) > 1:
            middle = len(batch) // 2
            return self._margins(batch[:middle]) + self._margins(batch[middle:])
        _logger.error("a pair could not be scored: %s", error, exc_info=error)
        self._fail(batch[0].job, ENGINE_ERROR, type(error).__name__, batch[0].document)
        self._works.append(Work([0], [0]))
        return [math.nan]

    def _make_room(self, batch: Sequence[WaitingPair], error: Exception) -> None:
        """Batches were too large for the memory there is: smaller ones from now on."""
        pairs = [waiting.pair for waiting in batch]
        self._budget.did_not_fit(sum(expected_work(self._engine, pairs).computed))
        _logger.warning("token budget lowered to %d: %s", self._budget.tokens, error)
        devices.free_memory()

    def _fail(self, job: int, code: str, message: str, document: int = -1) -> None:
        """Answer a job with an error, unless it has been answered already."""
        with self._changed:
            closed = self._jobs.close(job)
        if closed:
            self._pipe.send(Failed(job, code, message, document, closed.computed_tokens))


def _end_if_device_is_lost(error: Exception) -> None:
    """After a CUDA error that is not about memory every later call fails or lies: start afresh."""
    text = str(error)
    if "CUDA error" in text and "out of memory" not in text:
        _logger.critical("the device is lost: %s", text)
        os._exit(ExitCode.DEVICE)
