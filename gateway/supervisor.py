"""Keeps one shard running: start, watch, restart, stop.

One asyncio task a shard. It walks through *lives*: a life is one process and one pipe, from spawn to
exit. What may follow what is the table in `lifecycle`; this module only makes the events happen.

A death is seen by the kernel's own descriptor for the process, so it is noticed at once and without
polling; a pipe that ends, or that carries garbage, ends the process too, so that every way to be lost
becomes the same event. The answers that a dead shard had already written are taken before its jobs
are given to others.

A shard that takes long to load is left alone as long as it reports progress; without any for
`load_timeout_seconds` it is ended like a dead one.
"""

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.lifecycle import (
    COMING,
    HAS_PROCESS,
    Event,
    IllegalTransition,
    RestartPolicy,
    State,
    after,
)
from gateway.replica import Replica
from gateway.spawn import Child, spawn
from shards.wire.exit_codes import PERMANENT, ExitCode
from shards.wire.messages import Ready, Refused, Stage, WireError
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec

_logger = logging.getLogger(__name__)

_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM})
_EXIT_SECONDS = 2.0  # between closing its pipe and ending, a shard has nothing more to do
_STAGES = {"loading": Event.LOADS, "warming": Event.WARMS}


@dataclass(frozen=True, slots=True)
class Times:
    """How patient a supervisor is, in seconds."""

    load_timeout_seconds: float = 600.0
    stop_seconds: float = 10.0


@dataclass(slots=True)
class _Life:
    """One process of the shard."""

    child: Child
    pipe: GatewayEnd
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_progress: float = field(default_factory=time.monotonic)
    closing: asyncio.TimerHandle | None = None
    was_ready: bool = False
    end_reason: str = ""  # why it ended or was ended, where that is known better than by its code


class Supervisor:
    """One shard and its restarts.

    Attributes:
        state: where the shard is in its life.
        stage: what a starting shard says it is doing.
        restarts: starts after the first.
        last_error: why the last life ended, if nobody asked for it.
    """

    def __init__(
        self,
        spec: ShardSpec,
        *,
        policy: RestartPolicy,
        times: Times,
        on_change: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.replica = Replica(spec.name, on_stage=self._on_stage, on_room=on_change)
        self.state = State.STOPPED
        self.stage = ""
        self.generation = 0
        self.last_error = ""
        self._policy = policy
        self._times = times
        self._on_change = on_change
        self._life: _Life | None = None
        self._loss_times: deque[float] = deque(maxlen=policy.crash_limit + 1)
        self._losses_in_a_row = 0
        self._stop_asked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Supervisor {self.spec.name} [{self.state.label}, generation {self.generation}]>"

    @property
    def restarts(self) -> int:
        return max(0, self.generation - 1)

    @property
    def pid(self) -> int | None:
        return self._life.child.pid if self._life else None

    @property
    def memory_bytes(self) -> int:
        return self._life.child.memory_bytes() if self._life else 0

    @property
    def is_coming(self) -> bool:
        """Whether the shard will be ready without anybody's help."""
        return self.state in COMING and not self._stop_asked.is_set()

    async def run(self) -> None:
        """Keep the shard running until `stop`."""
        while not self._stop_asked.is_set():
            event = await self._live()
            if self.state is not State.DRAINING:
                self._apply(event)
                await self._rest(event)
        if self.state is not State.STOPPED:
            self._apply(Event.LOST if self.state is State.DRAINING else Event.DRAIN)

    def stop(self) -> None:
        """Ask the shard to finish its jobs and end; `run` returns when it has."""
        if self._stop_asked.is_set():
            return
        self._stop_asked.set()
        if self.state in HAS_PROCESS:
            self._apply(Event.DRAIN)
            self.replica.stop()

    # -- one life ----------------------------------------------------------------------------------

    async def _live(self) -> Event:
        """Start a process, wait for its end, and say how it ended."""
        self._apply(Event.START)
        self.generation += 1
        try:
            life = self._start()
        except OSError as error:
            return self._lost(f"could not be started: {error}", counts=True)
        self._life = life
        try:
            await self._watch(life)
        finally:
            event = self._bury(life)
        return event

    def _start(self) -> _Life:
        pipe = GatewayEnd(self.generation)
        try:
            child = spawn(replace(self.spec, generation=self.generation), pipe)
        except OSError:
            pipe.close()
            raise
        self.replica.attach(pipe)
        life = _Life(child, pipe)
        loop = asyncio.get_running_loop()
        loop.add_reader(child.exit_fd, life.ended.set)
        loop.add_reader(pipe.fileno(), self._on_readable, life)
        return life

    async def _watch(self, life: _Life) -> None:
        """Return when the process has ended; end it where it is overdue."""
        stop_asked = asyncio.ensure_future(self._stop_asked.wait())
        ended = asyncio.ensure_future(life.ended.wait())
        try:
            while not ended.done() and not stop_asked.done():
                patience = self._patience(life)
                if patience is not None and patience <= 0:
                    self._end_overdue(life)
                    patience = None
                await asyncio.wait(
                    (ended, stop_asked), timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
            await asyncio.wait((ended,), timeout=self._times.stop_seconds)
        finally:
            life.child.kill()  # harmless where it has ended
            stop_asked.cancel()
            await ended

    def _patience(self, life: _Life) -> float | None:
        """How long the shard may still load without progress; `None` when it is not loading."""
        if life.was_ready:
            return None
        return life.last_progress + self._times.load_timeout_seconds - time.monotonic()

    def _end_overdue(self, life: _Life) -> None:
        life.end_reason = (
            f"no progress for {self._times.load_timeout_seconds:g} s ({self.stage or 'starting'}): "
            "raise supervision.load_timeout_seconds if the model needs longer"
        )
        life.child.kill()

    def _bury(self, life: _Life) -> Event:
        """Give back everything a life had, and say how it ended."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(life.child.exit_fd)
        loop.remove_reader(life.pipe.fileno())
        if life.closing:
            life.closing.cancel()
        with contextlib.suppress(WireError, IllegalTransition):
            self.replica.receive()  # its last words: answers, or why it refused
        on_device = self.replica.jobs_on_device()
        code = life.child.reap()
        reason = life.end_reason or _reason(code, on_device)
        self._life = None
        self.stage = ""
        self.replica.detach(reason)
        if code in PERMANENT and not life.was_ready:
            self.last_error = reason
            _logger.error("shard %s refused to start: %s", self.spec.name, reason)
            return Event.REFUSED
        was_killed_by_others = life.was_ready and not life.end_reason and code in _FROM_OUTSIDE
        return self._lost(reason, counts=not was_killed_by_others)

    def _lost(self, reason: str, *, counts: bool) -> Event:
        """Note a loss; those that were not done to the shard from outside count as crashes."""
        if self.state is State.DRAINING:
            return Event.LOST
        self.last_error = reason
        self._losses_in_a_row += 1
        if counts:
            self._loss_times.append(time.monotonic())
        _logger.warning("shard %s is lost: %s", self.spec.name, reason)
        return Event.LOST

    async def _rest(self, event: Event) -> None:
        """Wait for the next start, or for an operator."""
        if event is Event.REFUSED:
            await self._sleep(None)
        elif self._policy.is_crash_loop(self._loss_times, time.monotonic()):
            self._apply(Event.GIVE_UP)
            self._loss_times.clear()
            _logger.error("shard %s crashes again and again: given up", self.spec.name)
            await self._sleep(self._policy.retry_failed_seconds)
        else:
            await self._sleep(self._policy.wait_seconds(self._losses_in_a_row, random.random()))

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep, but not longer than until `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()
        except TimeoutError:
            return

    # -- what the shard says -----------------------------------------------------------------------

    def _on_readable(self, life: _Life) -> None:
        try:
            self.replica.receive()
        except (WireError, IllegalTransition) as error:
            life.end_reason = f"it broke the protocol: {error}"
            life.child.kill()
        if self.replica.is_closed:
            loop = asyncio.get_running_loop()
            loop.remove_reader(life.pipe.fileno())
            life.closing = loop.call_later(_EXIT_SECONDS, life.child.kill)

    def _on_stage(self, message: Stage | Ready | Refused) -> None:
        life = self._life
        if life is None:
            return
        life.last_progress = time.monotonic()
        if isinstance(message, Refused):
            life.end_reason = message.message
        elif isinstance(message, Stage):
            self.stage = message.detail
            if message.stage in _STAGES:
                self._apply(_STAGES[message.stage])
        else:
            life.was_ready = True
            self.stage = ""
            self._losses_in_a_row = 0
            self._apply(Event.UP)

    def _apply(self, event: Event) -> None:
        before, self.state = self.state, after(self.state, event)
        if self.state is not before:
            _logger.info("shard %s is %s", self.spec.name, self.state.label)
            self._on_change()


def _reason(code: int, jobs_on_device: int) -> str:
    """Say in words how a process ended."""
    if code < 0:
        how = f"ended by signal {signal.Signals(-code).name}"
    elif code in set(ExitCode):
        how = f"exited with code {code} ({ExitCode(code).name.lower()})"
    else:
        how = f"exited with code {code}"
    return f"{how} while scoring {jobs_on_device} jobs" if jobs_on_device else how
