"""The supervisor of one shard: starts its process, watches, restarts and stops it.

One asyncio task a shard. It drives the state machine of `lifecycle` through one *generation* after
the other: a generation is one process and one pipe, from spawn to exit. Hangs are recognised in
`hang_detection`, and the consequences of an exit are decided in `process_exit`.

The kernel's descriptor of a process signals its death at once, without polling. A pipe that ends,
or that carries garbage, ends the process too, so that every loss becomes the same event. The
answers that a dead shard had already written are received before its jobs go to other shards.

A shard that is unloaded has no process until it is loaded. A loading shard is left alone as long as
it reports progress. A ready shard is checked ten times a second: one that has work and makes no
progress becomes a suspect, writes its stacks, and is killed.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable

from gateway.domain.job import Job
from gateway.supervision.canary_log import CanaryLog, ShardCanaryLog
from gateway.supervision.degradation import Degradation
from gateway.supervision.lifecycle import (
    COMING,
    HAS_PROCESS,
    Event,
    IllegalTransition,
    RestartPolicy,
    State,
    Times,
    after,
)
from gateway.supervision.oom_kills import OomKills
from gateway.supervision.outlier_detection import EjectionPolicy, OutlierDetector
from gateway.supervision.process_exit import Exit, LossHistory
from gateway.supervision.replica import Replica
from gateway.supervision.shard_log import ShardLog
from gateway.supervision.shard_process import ShardProcess
from shards.wire.codecs import WireError
from shards.wire.facts import Facts
from shards.wire.messages import Canary, Ready, Refused, Stage
from shards.wire.spec import ShardSpec

_logger = logging.getLogger(__name__)

_UNWATCHED_SECONDS = 2.0  # a supervisor that has not looked for so long does not supervise
_EXIT_SECONDS = 2.0  # between closing its pipe and its exit, a shard has nothing more to do
_ANSWERS_A_TURN = 4  # of the event loop; other tasks run before the rest of a batch
_STAGES = {"loading": Event.LOADS, "warming": Event.WARMS}


class Supervisor:
    """One shard and its restarts.

    Attributes:
        state: the state of the shard.
        is_wanted: whether it is to have a process.
        stage: the step that a starting shard reports.
        generation: the number of starts.
        log: its log lines, with its name, model and revision as fields.
        outliers: the trust in its answers.
        degradation: what it does without since it failed for want of it.
        recycles: replacements because it had grown too large.
        canary: the results of its canaries.
    """

    def __init__(
        self,
        spec: ShardSpec,
        *,
        revision: int = 1,
        policy: RestartPolicy,
        times: Times,
        ejection: EjectionPolicy,
        oom: OomKills,
        canaries: CanaryLog,
        accepts: Callable[[Facts], str],
        on_change: Callable[[], None],
        on_suspects: Callable[[Iterable[Job]], None],
    ) -> None:
        self.spec = spec
        self.log = ShardLog(_logger, spec, revision)
        self.replica = Replica(spec.name, on_report=self._on_report, on_room=on_change)
        self.state = State.STOPPED
        self.is_wanted = True
        self.stage = ""
        self.generation = 0
        self.outliers = OutlierDetector(ejection)
        self.degradation = Degradation(spec, policy.cpu_after_gpu_failures)
        self.recycles = 0
        self._loads_again = 0
        self._is_tried_again = False
        self.canary = ShardCanaryLog(spec, canaries, self.log)
        self._policy = policy
        self._times = times
        self._accepts = accepts
        self._on_change = on_change
        self._on_suspects = on_suspects
        self._oom = oom
        self._losses = LossHistory(self.log, policy, self.outliers, self.degradation)
        self._process: ShardProcess | None = None
        self._last_look = 0.0
        self._stop_asked = asyncio.Event()
        self._roused = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Supervisor {self.spec.name} [{self.state.label}, generation {self.generation}]>"

    @property
    def restarts(self) -> int:
        return max(0, self.generation - 1 - self.recycles - self._loads_again)

    @property
    def last_error(self) -> str:
        """The reason of the last end that the gateway did not ask for."""
        return self._losses.last_error

    @property
    def is_unloaded(self) -> bool:
        """True if it has no process because none is wanted."""
        return self.state is State.STOPPED and not self.is_wanted

    @property
    def pid(self) -> int | None:
        return self._process.child.pid if self._process else None

    @property
    def memory_bytes(self) -> int:
        return self._process.child.memory_bytes() if self._process else 0

    @property
    def first_memory_bytes(self) -> int:
        """Resident memory when it became ready."""
        return self._process.first_memory_bytes if self._process else 0

    @property
    def load_peak_bytes(self) -> int:
        """The most resident memory until it became ready; 0 before that."""
        return self._process.load_peak_bytes if self._process else 0

    @property
    def is_coming(self) -> bool:
        """True if the shard will be ready without an operator's help."""
        is_replaced = self.state is State.DRAINING
        is_coming = self.state in COMING or is_replaced or self._is_tried_again
        return is_coming and not self._stop_asked.is_set()

    def is_watched(self, now: float) -> bool:
        """Return whether the process is looked at; true if there is none, or it is ending."""
        if self.state not in HAS_PROCESS or self._stop_asked.is_set():
            return True
        return now - self._last_look < _UNWATCHED_SECONDS

    async def run(self) -> None:
        """Keep the shard running until `stop`."""
        while await self._until_wanted():
            event = await self._run_generation()
            if self.state is not State.DRAINING:
                self._apply(event)
                await self._rest(event)
            elif not self._stop_asked.is_set():  # it is replaced or unloaded
                self._apply(event)
        if self.state is not State.STOPPED:
            self._apply(Event.LOST if self.state is State.DRAINING else Event.DRAIN)

    def stop(self) -> None:
        """Ask the shard to finish its jobs and end; `run` returns when it has."""
        if self._stop_asked.is_set():
            return
        self._stop_asked.set()
        self._roused.set()
        if self.state in HAS_PROCESS and self.state is not State.DRAINING:
            self._apply(Event.DRAIN)
            self.replica.stop()

    def recycle(self) -> None:
        """Ask a ready shard to finish its jobs and end, and start it anew."""
        if self.state is State.READY and self._process is not None:
            self._process.retired = time.monotonic()
            self.recycles += 1
            self._apply(Event.DRAIN)
            self.replica.stop()

    def load(self) -> None:
        """Start the shard if it was unloaded or given up; a shard that was lost keeps its wait."""
        self._is_tried_again = self.state is State.FAILED and self._process is None
        if not self.is_wanted or self._is_tried_again:
            self.is_wanted = True
            self._roused.set()

    def unload(self) -> None:
        """Let the shard finish its jobs and end, and do not start it before it is loaded."""
        self.is_wanted = False
        self._roused.set()
        process = self._process
        if process is None or self.state not in HAS_PROCESS or self.state is State.DRAINING:
            return
        process.retired = time.monotonic()
        self._apply(Event.DRAIN)
        self.replica.stop()
        if not process.was_ready:
            process.kill()

    async def _until_wanted(self) -> bool:
        """Wait until the shard is to have a process; return false if it is to stop."""
        while not (self.is_wanted or self._stop_asked.is_set()):
            if self.state is not State.STOPPED:
                self._apply(Event.DRAIN)
            await self._sleep(None)
            self._loads_again += self.generation > 0 and self.is_wanted
        return not self._stop_asked.is_set()

    # -- one generation ----------------------------------------------------------------------------

    async def _run_generation(self) -> Event:
        """Start a process, wait for its end, and return the event that its end is."""
        self._apply(Event.START)
        self._is_tried_again = False
        self.generation += 1
        try:
            process = self._process = self._start()
        except OSError as error:
            return self._record(Exit(f"it could not be started: {error}"), blames_pair=False)
        try:
            await process.watch(self._stop_asked, lambda: self._look(process))
        finally:
            event = self._collect(process)
        return await self._outlast(process) if event is Event.STUCK else event

    def _start(self) -> ShardProcess:
        spec = self.degradation.spec(self.generation, time.monotonic())
        process = ShardProcess.start(self.canary.spec_with_baseline(spec), self._times)
        self.replica.attach(process.pipe)
        asyncio.get_running_loop().add_reader(process.pipe.fileno(), self._on_readable, process)
        return process

    def _look(self, process: ShardProcess) -> None:
        """Check that the shard makes progress."""
        now = self._last_look = time.monotonic()
        self._oom.look(now)
        if event := process.check(self.state, self.stage or "starting", self.replica, now):
            self._apply(event)

    def _collect(self, process: ShardProcess) -> Event:
        """Give back what a generation held, and return the event that its end is."""
        asyncio.get_running_loop().remove_reader(process.pipe.fileno())
        with contextlib.suppress(WireError, IllegalTransition):
            self.replica.receive()  # its last messages: answers, or its reason to refuse
        end = process.collect(self._oom)
        self._process = process if process.is_stuck else None
        self.stage = ""
        lost = self.replica.detach(end.reason)
        suspects = [job for job_id, job in lost.items() if job_id in end.suspects]
        event = self._record(end, blames_pair=any(job.is_isolated for job in suspects))
        self._on_suspects(suspects)
        return event

    def _record(self, end: Exit, *, blames_pair: bool) -> Event:
        """Record an end, unless the gateway asked for it."""
        if self.state is State.DRAINING and not end.is_stuck:
            return Event.LOST
        return self._losses.record(end, time.monotonic(), blames_pair=blames_pair)

    async def _outlast(self, process: ShardProcess) -> Event:
        """Wait until a stuck process is gone, or until `stop`."""
        if not self._stop_asked.is_set():
            self._apply(Event.STUCK)
        try:
            await process.wait_gone(self._stop_asked)
        finally:
            self._process = None
            how = "is gone after all" if process.release() else "is still there, and is left behind"
            self.log.warning("process %d %s", process.child.pid, how)
        return Event.GONE

    async def _rest(self, event: Event) -> None:
        """Wait for the next start, or for an operator."""
        if event is Event.REFUSED:
            await self._sleep(None)
        elif self._losses.is_crash_loop(time.monotonic()):
            self._apply(Event.GIVE_UP)
            self._losses.forget_crashes()
            self.log.error("shard crashes again and again: given up")
            await self._sleep(self._policy.retry_failed_seconds)
        else:
            await self._sleep(self._losses.wait_seconds(random.random()))

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until `stop`, `load` or `unload` at the latest."""
        self._roused.clear()
        if self._stop_asked.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._roused.wait()

    # -- messages of the shard ---------------------------------------------------------------------

    def _on_readable(self, process: ShardProcess) -> None:
        try:
            self.replica.receive(_ANSWERS_A_TURN)
        except (WireError, IllegalTransition) as error:
            process.kill(f"it broke the protocol: {error}")
        if self.replica.is_closed:
            asyncio.get_running_loop().remove_reader(process.pipe.fileno())
            process.kill_in(_EXIT_SECONDS)

    def _on_report(self, message: Stage | Ready | Refused | Canary) -> None:
        process = self._process
        if process is None:
            return
        process.last_message = time.monotonic()
        if isinstance(message, Canary):
            self.canary.record(message)
        elif isinstance(message, Refused):
            process.kill_reason = message.message
        elif isinstance(message, Stage):
            self.stage = message.detail
            if message.stage in _STAGES:
                self._apply(_STAGES[message.stage])
        elif refusal := self._accepts(message.facts):
            process.refuse(refusal)
        else:
            process.mark_ready(message.facts.token_budget)
            self.stage = ""
            self._losses.record_ready()
            self.outliers.record_start(process.last_message)
            self._apply(Event.UP)

    def _apply(self, event: Event) -> None:
        before, self.state = self.state, after(self.state, event)
        if self.state is not before:
            self.log.info("shard is %s", self.state.label, extra={"generation": self.generation})
            self._on_change()
