"""One life of a shard: a process, its pipe, and what its end says about whom.

However a process ends, its exit code and what it last wrote about its progress tell whose doing it
was. A crash or a hang was its own, and the jobs it was at are suspects. SIGKILL and SIGTERM come
from outside, and so does a stop (SIGSTOP) that looks like a hang: they say nothing about the jobs.
Only where the kernel's count says that SIGKILL was for want of memory (`oom`), the jobs may have been
too much.

A crash counts towards giving the shard up, unless there are jobs to blame: it was ready, so it works,
and whoever sends one poison after the other must not take the model away from everybody else. Want of
memory counts in any case, or it would be started again and again where there is no room for it.
"""

import asyncio
import signal
import time
from dataclasses import dataclass, field, replace

from gateway.oom import OomKills
from gateway.pulse import PulseWatch
from gateway.spawn import Child, spawn
from shards.wire.arena import Progress
from shards.wire.exit_codes import PERMANENT, ExitCode
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec

_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM})
_STACKS_SECONDS = 1.0  # for a hung shard to write its stacks before it is killed
_OF_THE_DEVICE = frozenset({ExitCode.DEVICE, ExitCode.TEMPORARY})
_NO_MEMORY = " by the kernel, because memory ran out"


@dataclass(slots=True)
class Life:
    """A running shard process.

    Attributes:
        kill_seconds: how long the process may be there after it was killed.
        ended: set when the process is gone, or when it should be and `is_stuck`.
        is_stuck: whether SIGKILL did not end it.
        last_word: monotonic seconds of its last message while it loads.
        was_ready: whether it ever was.
        token_budget: the most tokens of its batches, once it is ready.
        first_memory_bytes: what it took when it became ready.
        retired: monotonic seconds when it was told to finish, to be replaced.
        verdict: why we ended it, or why it said it would end; empty if it just did.
        is_innocent: whether `verdict` has nothing to do with the jobs inside.
    """

    child: Child
    pipe: GatewayEnd
    kill_seconds: float
    pulse: PulseWatch = field(default_factory=PulseWatch)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_word: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    token_budget: int = 0
    first_memory_bytes: int = 0
    retired: float | None = None
    verdict: str = ""
    is_innocent: bool = False
    is_stuck: bool = False
    killing: asyncio.TimerHandle | None = None
    giving_up: asyncio.TimerHandle | None = None

    @classmethod
    def begin(cls, spec: ShardSpec, kill_seconds: float) -> "Life":
        """Start a process, and a pipe to it, and wait for its end.

        Raises:
            OSError: the machine has no process, memory or descriptor left for it.
        """
        pipe = GatewayEnd(spec.generation)
        try:
            life = cls(spawn(spec, pipe), pipe, kill_seconds)
        except OSError:
            pipe.close()
            raise
        asyncio.get_running_loop().add_reader(life.child.exit_fd, life.ended.set)
        return life

    def kill(self, verdict: str = "") -> None:
        """End the process at once, for a reason of ours if there is one; harmless when it has ended."""
        self.verdict = self.verdict or verdict
        self.child.kill()
        if self.giving_up is None:
            loop = asyncio.get_running_loop()
            self.giving_up = loop.call_later(self.kill_seconds, self._give_up)

    def _give_up(self) -> None:
        self.is_stuck = not self.child.has_ended()
        self.ended.set()

    def kill_in(self, seconds: float) -> None:
        """End the process unless it has ended by then."""
        if self.killing is None:
            loop = asyncio.get_running_loop()
            self.killing = loop.call_later(seconds, self.kill)

    def end_still(self, stage: str, seconds: float) -> None:
        """End a shard whose load has not moved for so long."""
        self.kill(
            f"no progress for {seconds:g} s ({stage}): raise supervision.load_timeout_seconds if "
            "the model needs longer"
        )

    def end_hung(self, jobs: int) -> None:
        """Have the stacks of a hung shard written, if it can still do that, and end it."""
        self.is_innocent = self.child.is_stopped()
        how = "stopped from outside (SIGSTOP)" if self.is_innocent else "hung"
        self.verdict = (
            f"{how}: no progress for {self.pulse.still_seconds:.1f} s with {jobs} jobs, "
            f"{self.pulse.patience_seconds:.1f} s are allowed"
        )
        self.child.abort()
        self.kill_in(_STACKS_SECONDS)

    def bury(self, oom: OomKills) -> "Ending":
        """Give back what the process had, once it has `ended`, and say how it did.

        One that is stuck keeps its process until `part`; `ended` will be set when that is gone.
        """
        for timer in (self.killing, self.giving_up):
            if timer is not None:
                timer.cancel()
        if self.is_stuck:
            self.ended.clear()
            self.verdict = "; ".join(filter(None, (self.verdict, self._is_still_there())))
            code = -signal.SIGKILL
        else:
            asyncio.get_running_loop().remove_reader(self.child.exit_fd)
            code = self.child.reap()
        was_killed = code == -signal.SIGKILL and not self.verdict
        ending = how_it_ended(
            code,
            self.pipe.progress(),
            was_ready=self.was_ready,
            verdict=self.verdict,
            is_innocent=self.is_innocent,
            is_oom=was_killed and oom.took_one(time.monotonic()),
        )
        return replace(ending, is_stuck=self.is_stuck)

    def _is_still_there(self) -> str:
        return (
            f"process {self.child.pid} cannot be ended: {self.kill_seconds:g} s after SIGKILL it is "
            f"still there (state: {self.child.states() or 'unknown'}) and waits for its device or a "
            "file system: look at the kernel's log and at the device. The shard is started again "
            "when the process is gone"
        )

    def part(self) -> bool:
        """Give back a stuck process; return whether it is gone, or else is let be."""
        is_gone = self.child.has_ended()
        asyncio.get_running_loop().remove_reader(self.child.exit_fd)
        if is_gone:
            self.child.reap()
        else:
            self.child.leave()
        return is_gone


@dataclass(frozen=True, slots=True)
class Ending:
    """How a life ended.

    Attributes:
        reason: in words, for the operator.
        is_refusal: whether starting again is useless.
        is_crash: whether it was the shard's own doing.
        suspects: the jobs that may have caused it.
        is_oom: whether the kernel ended it because memory ran out.
        is_device: whether its device failed, or could not be started on.
        is_misfit: whether the spec does not fit the machine.
        is_stuck: whether the process is still there.
    """

    reason: str
    is_refusal: bool = False
    is_crash: bool = True
    suspects: frozenset[int] = frozenset()
    is_oom: bool = False
    is_device: bool = False
    is_misfit: bool = False
    is_stuck: bool = False

    @property
    def is_strike(self) -> bool:
        """Whether it counts towards giving the shard up."""
        return self.is_crash and (self.is_oom or not self.suspects)


def how_it_ended(
    code: int,
    progress: Progress,
    *,
    was_ready: bool,
    verdict: str,
    is_innocent: bool,
    is_oom: bool = False,
) -> Ending:
    """Judge the end of a process by its exit code (negative: minus the signal)."""
    on_device = {*progress.jobs} if progress.is_on_device else set()
    jobs = on_device | {*progress.encoding} - {0}
    is_killed = was_ready and not verdict and not is_oom and code in _FROM_OUTSIDE
    is_canary = code == ExitCode.CANARY  # the scores were wrong, whatever was asked
    came_from_outside = is_innocent or is_killed
    where = f" while it was at {len(jobs)} jobs" if jobs else ""
    return Ending(
        reason=verdict or _in_words(code) + (_NO_MEMORY if is_oom else "") + where,
        is_refusal=code in PERMANENT and not was_ready,
        is_crash=not came_from_outside,
        suspects=frozenset() if came_from_outside or is_canary else frozenset(jobs),
        is_oom=is_oom,
        is_device=not is_oom and (code in _OF_THE_DEVICE or not was_ready),
        is_misfit=code == ExitCode.SPEC and not was_ready,
    )


def _in_words(code: int) -> str:
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}  # real-time ones have none
        return f"ended by signal {names.get(-code, -code)}"
    known = f" ({ExitCode(code).name.lower()})" if code in set(ExitCode) else ""
    return f"exited with code {code}{known}"
