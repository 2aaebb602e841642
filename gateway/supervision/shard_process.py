"""One shard process and its pipe: start, watch, kill, and give back what it held.

A process ends by itself or is killed, and its end is one event: `ended`. SIGKILL does not end a
process that waits in the kernel for its device or a file system. Such a process is *stuck*: `ended`
is set all the same, and set again when the process is gone.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.supervision.cpu_wait import CpuWait
from gateway.supervision.hang_detection import HangDetector, ProgressState
from gateway.supervision.lifecycle import Event, State, Times
from gateway.supervision.oom_kills import OomKills
from gateway.supervision.process_exit import Exit, classify_exit
from gateway.supervision.replica import Replica
from gateway.supervision.spawn import Child, spawn
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec

_LOOK_SECONDS = 0.1
_STACKS_SECONDS = 1.0  # for a hung shard to write its stacks before it is killed


@dataclass(slots=True)
class ShardProcess:
    """A running shard process.

    Attributes:
        ended: set when the process is gone, or when it should be and `is_stuck`.
        last_message: monotonic seconds of its last message while it loads.
        was_ready: whether its shard became ready.
        token_budget: the most tokens of its batches, once it is ready.
        first_memory_bytes: its resident memory when it became ready.
        load_peak_bytes: the most resident memory that it had until then.
        retired: monotonic seconds when it was asked to finish, to be replaced.
        kill_reason: the gateway's reason to kill it, or its own reason to refuse; empty for
            neither.
        was_stopped: whether `kill_reason` is a stop from outside, for which no job is to blame.
        was_refused: whether the gateway does not accept its model.
        is_stuck: whether SIGKILL did not end it.
    """

    child: Child
    pipe: GatewayEnd
    times: Times
    cpu_wait: CpuWait
    hang_detector: HangDetector = field(default_factory=HangDetector)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_message: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    token_budget: int = 0
    first_memory_bytes: int = 0
    load_peak_bytes: int = 0
    retired: float | None = None
    kill_reason: str = ""
    was_stopped: bool = False
    was_refused: bool = False
    is_stuck: bool = False
    kill_timer: asyncio.TimerHandle | None = None
    give_up_timer: asyncio.TimerHandle | None = None

    @classmethod
    def start(cls, spec: ShardSpec, times: Times) -> "ShardProcess":
        """Start a process and a pipe to it, and watch for its end.

        Raises:
            OSError: the machine has no process, memory or descriptor left for it.
        """
        pipe = GatewayEnd(spec.generation)
        try:
            child = spawn(spec, pipe)
        except OSError:
            pipe.close()
            raise
        process = cls(child, pipe, times, CpuWait(child.pid))
        asyncio.get_running_loop().add_reader(child.exit_fd, process.ended.set)
        return process

    def mark_ready(self, token_budget: int) -> None:
        """Record that the shard is ready."""
        self.was_ready = True
        self.token_budget = token_budget
        self.first_memory_bytes = self.child.memory_bytes()
        self.load_peak_bytes = self.child.peak_bytes()

    # -- watching ----------------------------------------------------------------------------------

    async def watch(self, stop_asked: asyncio.Event, look: Callable[[], None]) -> None:
        """Call `look` ten times a second until the process has ended or is stuck.

        After `stop_asked` the process has `Times.stop_seconds` to end before it is killed.
        """
        ended = asyncio.ensure_future(self.ended.wait())
        asked = asyncio.ensure_future(stop_asked.wait())
        try:
            while not ended.done() and not asked.done():
                look()
                await asyncio.wait(
                    (ended, asked), timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            # A shard that was never ready has no jobs to finish.
            patience = self.times.stop_seconds if self.was_ready else 0
            await asyncio.wait((ended,), timeout=patience)
        finally:
            self.kill()
            asked.cancel()
            await ended

    def check(self, state: State, stage: str, replica: Replica, now: float) -> Event | None:
        """Kill a process that makes no progress; return the event that a change of its progress is.

        Args:
            state: the state of its shard.
            stage: the step that a loading shard has reported.
            replica: the jobs inside.
            now: monotonic seconds.
        """
        if state in (State.READY, State.SUSPECT):
            return self._check_progress(state, replica, now)
        if self.retired is not None:
            if now - self.retired >= self.times.stop_seconds:
                self.kill()
        elif now - self.last_message >= self.times.load_timeout_seconds and not self.kill_reason:
            self.kill(
                f"no progress for {self.times.load_timeout_seconds:g} s ({stage}): raise "
                "supervision.load_timeout_seconds if the model needs longer"
            )
        return None

    def _check_progress(self, state: State, replica: Replica, now: float) -> Event | None:
        reading = replica.reading(now)
        if reading is None or self.kill_reason:
            return None
        progress = self.hang_detector.look(reading, self.cpu_wait.seconds)
        if progress is ProgressState.HUNG:
            self._kill_hung(replica.queue)
        elif progress is ProgressState.STALLED and state is State.READY:
            return Event.STALL
        elif progress is ProgressState.MOVING and state is State.SUSPECT:
            return Event.MOVE
        return None

    # -- killing -----------------------------------------------------------------------------------

    def kill(self, reason: str = "") -> None:
        """Kill the process, for the reason if there is one; harmless after its end."""
        self.kill_reason = self.kill_reason or reason
        self.child.kill()
        if self.give_up_timer is None:
            loop = asyncio.get_running_loop()
            self.give_up_timer = loop.call_later(self.times.kill_seconds, self._give_up)

    def refuse(self, reason: str) -> None:
        """Kill a process whose model is not accepted; it is not started again by itself."""
        self.was_refused = True
        self.kill(reason)

    def _give_up(self) -> None:
        self.is_stuck = not self.child.has_ended()
        self.ended.set()

    def kill_in(self, seconds: float) -> None:
        """Kill the process unless it has ended by then."""
        if self.kill_timer is None:
            loop = asyncio.get_running_loop()
            self.kill_timer = loop.call_later(seconds, self.kill)

    def _kill_hung(self, jobs: int) -> None:
        """Ask the process to write its stacks, and kill it a little later."""
        self.was_stopped = self.child.is_stopped()
        how = "stopped from outside (SIGSTOP)" if self.was_stopped else "hung"
        self.kill_reason = (
            f"{how}: no progress for {self.hang_detector.still_seconds:.1f} s with {jobs} jobs, "
            f"{self.hang_detector.patience_seconds:.1f} s are allowed; time without a CPU is not "
            "counted"
        )
        self.child.abort()
        self.kill_in(_STACKS_SECONDS)

    # -- the end -----------------------------------------------------------------------------------

    def collect(self, oom: OomKills) -> Exit:
        """Give back what the process held, once it has `ended`, and return how it ended.

        A stuck process keeps its descriptor until `release`; `ended` is set when the process is
        gone.
        """
        for timer in (self.kill_timer, self.give_up_timer):
            if timer is not None:
                timer.cancel()
        if self.is_stuck:
            self.ended.clear()
            self.kill_reason = "; ".join(filter(None, (self.kill_reason, self._stuck_text())))
            code = -signal.SIGKILL
        else:
            asyncio.get_running_loop().remove_reader(self.child.exit_fd)
            code = self.child.reap()
        was_killed = code == -signal.SIGKILL and not self.kill_reason
        end = classify_exit(
            code,
            self.pipe.progress(),
            was_ready=self.was_ready,
            kill_reason=self.kill_reason,
            was_stopped=self.was_stopped,
            is_oom_kill=was_killed and oom.claim(time.monotonic()),
        )
        return replace(
            end,
            is_refusal=end.is_refusal or self.was_refused,
            is_stuck=self.is_stuck,
            token_budget=self.token_budget,
        )

    def _stuck_text(self) -> str:
        return (
            f"process {self.child.pid} cannot be ended: {self.times.kill_seconds:g} s after "
            f"SIGKILL it is still there (state: {self.child.states() or 'unknown'}) and waits for "
            "its device or a file system: look at the kernel's log and at the device. The shard "
            "is started again when the process is gone"
        )

    async def wait_gone(self, stop_asked: asyncio.Event) -> None:
        """Wait until a stuck process is gone, or until `stop_asked`."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.ended, stop_asked)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def release(self) -> bool:
        """Give back a stuck process; return whether it is gone, or else is left behind."""
        is_gone = self.child.has_ended()
        asyncio.get_running_loop().remove_reader(self.child.exit_fd)
        if is_gone:
            self.child.reap()
        else:
            self.child.leave()
        return is_gone
