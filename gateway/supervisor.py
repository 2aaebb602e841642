"""Keeps one shard running: start, watch, restart, stop.

One asyncio task a shard. It walks through *lives*: a life is one process and one pipe, from spawn to
exit. What may follow what is the table in `lifecycle`, what progress means is said in `pulse`, what
an end means in `life`; this module only makes the events happen.

A death is seen by the kernel's own descriptor for the process, so it is noticed at once and without
polling; a pipe that ends, or that carries garbage, ends the process too, so that every way to be lost
becomes the same event. The answers that a dead shard had already written are taken before its jobs
are given to others.

A shard that loads is left alone as long as it reports progress. A ready shard is looked at ten times a
second: one that has work and does not move becomes a suspect, is asked for its stacks, and ended.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable

from gateway.canaries import Canaries, ShardCanary
from gateway.concessions import Concessions
from gateway.job import Job
from gateway.life import Ending, Life
from gateway.lifecycle import (
    COMING,
    HAS_PROCESS,
    Event,
    IllegalTransition,
    RestartPolicy,
    State,
    Times,
    after,
)
from gateway.oom import OomKills
from gateway.pulse import Pulse
from gateway.replica import Replica
from gateway.standing import EjectionPolicy, Standing
from shards.wire.codecs import WireError
from shards.wire.messages import Canary, Ready, Refused, Stage
from shards.wire.spec import ShardSpec

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_UNATTENDED_SECONDS = 2.0  # a supervisor that has not looked for so long does not supervise
_EXIT_SECONDS = 2.0  # between closing its pipe and ending, a shard has nothing more to do
_ANSWERS_A_TURN = 4  # of the event loop; others then have their turn before the rest of a batch
_STAGES = {"loading": Event.LOADS, "warming": Event.WARMS}


class Supervisor:
    """One shard and its restarts.

    Attributes:
        state: where the shard is in its life.
        stage: what a starting shard says it is doing.
        generation: how often it has been started.
        last_error: why the last life ended, if nobody asked for it.
        standing: how far its answers can be trusted.
        concessions: what it does without since it failed for want of it.
        recycles: how often it was replaced because it had grown too large.
        canary: what known pairs have shown.
    """

    def __init__(
        self,
        spec: ShardSpec,
        *,
        policy: RestartPolicy,
        times: Times,
        ejection: EjectionPolicy,
        oom: OomKills,
        canaries: Canaries,
        on_change: Callable[[], None],
        on_suspects: Callable[[Iterable[Job]], None],
    ) -> None:
        self.spec = spec
        self.replica = Replica(spec.name, on_stage=self._on_stage, on_room=on_change)
        self.state = State.STOPPED
        self.stage = ""
        self.generation = 0
        self.last_error = ""
        self.standing = Standing(ejection)
        self.concessions = Concessions(spec, policy.cpu_after_gpu_failures)
        self.recycles = 0
        self.canary = ShardCanary(spec, canaries)
        self._policy = policy
        self._times = times
        self._on_change = on_change
        self._on_suspects = on_suspects
        self._oom = oom
        self._life: Life | None = None
        self._last_look = 0.0
        self._crash_times: deque[float] = deque(maxlen=policy.crash_limit + 1)
        self._losses_in_a_row = 0
        self._has_served = False
        self._stop_asked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Supervisor {self.spec.name} [{self.state.label}, generation {self.generation}]>"

    @property
    def restarts(self) -> int:
        return max(0, self.generation - 1 - self.recycles)

    @property
    def pid(self) -> int | None:
        return self._life.child.pid if self._life else None

    @property
    def memory_bytes(self) -> int:
        return self._life.child.memory_bytes() if self._life else 0

    @property
    def first_memory_bytes(self) -> int:
        """Resident memory when it became ready."""
        return self._life.first_memory_bytes if self._life else 0

    @property
    def is_coming(self) -> bool:
        """Whether the shard will be ready without anybody's help."""
        is_replaced = self.state is State.DRAINING
        return (self.state in COMING or is_replaced) and not self._stop_asked.is_set()

    def is_attended(self, now: float) -> bool:
        """Whether somebody looks at the process, if there is one that is not ending."""
        if self.state not in HAS_PROCESS or self._stop_asked.is_set():
            return True
        return now - self._last_look < _UNATTENDED_SECONDS

    async def run(self) -> None:
        """Keep the shard running until `stop`."""
        while not self._stop_asked.is_set():
            event = await self._live()
            if self.state is not State.DRAINING:
                self._apply(event)
                await self._rest(event)
            elif not self._stop_asked.is_set():  # it is replaced
                self._apply(event)
        if self.state is not State.STOPPED:
            self._apply(Event.LOST if self.state is State.DRAINING else Event.DRAIN)

    def stop(self) -> None:
        """Ask the shard to finish its jobs and end; `run` returns when it has."""
        if self._stop_asked.is_set():
            return
        self._stop_asked.set()
        if self.state in HAS_PROCESS and self.state is not State.DRAINING:
            self._apply(Event.DRAIN)
            self.replica.stop()

    def recycle(self) -> None:
        """Have a ready shard finish its jobs and end, and start it anew."""
        if self.state is State.READY and self._life is not None:
            self._life.retired = time.monotonic()
            self.recycles += 1
            self._apply(Event.DRAIN)
            self.replica.stop()

    # -- one life ----------------------------------------------------------------------------------

    async def _live(self) -> Event:
        """Start a process, wait for its end, and say how it ended."""
        self._apply(Event.START)
        self.generation += 1
        try:
            life = self._life = self._start()
        except OSError as error:
            reason = f"it could not be started: {error}"
            return self._note(Ending(reason), token_budget=0, has_culprit=False)
        try:
            await self._watch(life)
        finally:
            event = self._bury(life)
        return await self._outlast(life) if event is Event.STUCK else event

    def _start(self) -> Life:
        spec = self.concessions.spec(self.generation, time.monotonic())
        life = Life.begin(self.canary.told(spec), self._times.kill_seconds)
        self.replica.attach(life.pipe)
        asyncio.get_running_loop().add_reader(life.pipe.fileno(), self._on_readable, life)
        return life

    async def _watch(self, life: Life) -> None:
        """Return when the process has ended, or is stuck; end it where it must be."""
        ended = asyncio.ensure_future(life.ended.wait())
        stop_asked = asyncio.ensure_future(self._stop_asked.wait())
        either = (ended, stop_asked)
        try:
            while not ended.done() and not stop_asked.done():
                self._look(life)
                await asyncio.wait(
                    either, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            # A shard that was never ready has nothing to finish.
            patience = self._times.stop_seconds if life.was_ready else 0
            await asyncio.wait((ended,), timeout=patience)
        finally:
            life.kill()
            stop_asked.cancel()
            await ended

    def _look(self, life: Life) -> None:
        """See whether the shard moves."""
        now = self._last_look = time.monotonic()
        self._oom.look(now)
        if self.state in (State.READY, State.SUSPECT):
            self._look_at_progress(life, now)
        elif life.retired is not None:
            if now - life.retired >= self._times.stop_seconds:
                life.kill()
        elif now - life.last_word >= self._times.load_timeout_seconds and not life.verdict:
            life.end_still(self.stage or "starting", self._times.load_timeout_seconds)

    def _look_at_progress(self, life: Life, now: float) -> None:
        reading = self.replica.reading(now)
        if reading is None or life.verdict:
            return
        pulse = life.pulse.look(reading)
        if pulse is Pulse.HUNG:
            life.end_hung(self.replica.queue)
        elif pulse is Pulse.STALLED and self.state is State.READY:
            self._apply(Event.STALL)
        elif pulse is Pulse.MOVING and self.state is State.SUSPECT:
            self._apply(Event.MOVE)

    def _bury(self, life: Life) -> Event:
        """Give back everything a life had, and note how it ended."""
        asyncio.get_running_loop().remove_reader(life.pipe.fileno())
        with contextlib.suppress(WireError, IllegalTransition):
            self.replica.receive()  # its last words: answers, or why it refused
        ending = life.bury(self._oom)
        self._life = life if life.is_stuck else None
        self.stage = ""
        lost = self.replica.detach(ending.reason)
        suspects = [job for job_id, job in lost.items() if job_id in ending.suspects]
        has_culprit = any(job.is_solo for job in suspects)
        event = self._note(ending, token_budget=life.token_budget, has_culprit=has_culprit)
        self._on_suspects(suspects)
        return event

    async def _outlast(self, life: Life) -> Event:
        """Wait until a process that nothing could end is gone, or until `stop`."""
        if not self._stop_asked.is_set():
            self._apply(Event.STUCK)
        waits = [asyncio.ensure_future(one.wait()) for one in (life.ended, self._stop_asked)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._life = None
            how = "is gone after all" if life.part() else "is still there, and is left behind"
            _logger.warning("shard %s: process %d %s", self.spec.name, life.child.pid, how)
        return Event.GONE

    def _note(self, ending: Ending, *, token_budget: int, has_culprit: bool) -> Event:
        """Remember how a life ended, unless it was asked to end and did."""
        if self.state is State.DRAINING and not ending.is_stuck:
            return Event.LOST
        self.last_error = ending.reason
        if ending.is_stuck:
            self._losses_in_a_row += 1
            _logger.error("shard %s has failed: %s", self.spec.name, ending.reason)
            return Event.STUCK
        if self._concede(ending, token_budget, has_culprit):
            _logger.error("shard %s goes on on the CPU: %s", self.spec.name, ending.reason)
            return Event.LOST
        if ending.is_refusal:
            _logger.error("shard %s refused to start: %s", self.spec.name, ending.reason)
            return Event.REFUSED
        _logger.warning("shard %s is lost: %s", self.spec.name, ending.reason)
        self._losses_in_a_row += 1
        if ending.is_crash:
            self.standing.died(time.monotonic())
        if ending.is_strike:
            self._crash_times.append(time.monotonic())
        return Event.LOST

    def _concede(self, ending: Ending, token_budget: int, has_culprit: bool) -> bool:
        """Do without what it failed for want of; return whether that is its GPU, from now on."""
        now = time.monotonic()
        if ending.is_oom:
            self.concessions.oom_killed(now, token_budget)
        if ending.is_refusal:
            is_gone = ending.is_misfit and self._has_served
            return is_gone and self.concessions.device_is_gone()
        is_device = ending.is_device and ending.is_crash and not has_culprit
        return is_device and self.concessions.device_failed(now)

    async def _rest(self, event: Event) -> None:
        """Wait for the next start, or for an operator."""
        if event is Event.REFUSED:
            await self._sleep(None)
        elif self._policy.is_crash_loop(self._crash_times, time.monotonic()):
            self._apply(Event.GIVE_UP)
            self._crash_times.clear()
            _logger.error("shard %s crashes again and again: given up", self.spec.name)
            await self._sleep(self._policy.retry_failed_seconds)
        else:
            await self._sleep(self._policy.wait_seconds(self._losses_in_a_row, random.random()))

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep, but not longer than until `stop`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()

    # -- what the shard says -----------------------------------------------------------------------

    def _on_readable(self, life: Life) -> None:
        try:
            self.replica.receive(_ANSWERS_A_TURN)
        except (WireError, IllegalTransition) as error:
            life.kill(f"it broke the protocol: {error}")
        if self.replica.is_closed:
            asyncio.get_running_loop().remove_reader(life.pipe.fileno())
            life.kill_in(_EXIT_SECONDS)

    def _on_stage(self, message: Stage | Ready | Refused | Canary) -> None:
        life = self._life
        if life is None:
            return
        life.last_word = time.monotonic()
        if isinstance(message, Canary):
            self.canary.hear(message)
        elif isinstance(message, Refused):
            life.verdict = message.message
        elif isinstance(message, Stage):
            self.stage = message.detail
            if message.stage in _STAGES:
                self._apply(_STAGES[message.stage])
        else:
            life.was_ready = self._has_served = True
            life.token_budget = message.token_budget
            life.first_memory_bytes = self.memory_bytes
            self.stage = ""
            self._losses_in_a_row = 0
            self.standing.started(life.last_word)
            self._apply(Event.UP)

    def _apply(self, event: Event) -> None:
        before, self.state = self.state, after(self.state, event)
        if self.state is not before:
            _logger.info("shard %s is %s", self.spec.name, self.state.label)
            self._on_change()
