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
from dataclasses import dataclass, field

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
        ended: set when the process is gone.
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
    pulse: PulseWatch = field(default_factory=PulseWatch)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_word: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    token_budget: int = 0
    first_memory_bytes: int = 0
    retired: float | None = None
    verdict: str = ""
    is_innocent: bool = False
    killing: asyncio.TimerHandle | None = None

    @classmethod
    def begin(cls, spec: ShardSpec) -> "Life":
        """Start a process, and a pipe to it.

        Raises:
            OSError: the machine has no process, memory or descriptor left for it.
        """
        pipe = GatewayEnd(spec.generation)
        try:
            return cls(spawn(spec, pipe), pipe)
        except OSError:
            pipe.close()
            raise

    def kill_in(self, seconds: float) -> None:
        """End the process unless it has ended by then."""
        if self.killing is None:
            loop = asyncio.get_running_loop()
            self.killing = loop.call_later(seconds, self.child.kill)

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
        """Give back what the process had, once it is gone, and say how it ended."""
        if self.killing is not None:
            self.killing.cancel()
        code = self.child.reap()
        was_killed = code == -signal.SIGKILL and not self.verdict
        return how_it_ended(
            code,
            self.pipe.progress(),
            was_ready=self.was_ready,
            verdict=self.verdict,
            is_innocent=self.is_innocent,
            is_oom=was_killed and oom.took_one(time.monotonic()),
        )


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
    """

    reason: str
    is_refusal: bool = False
    is_crash: bool = True
    suspects: frozenset[int] = frozenset()
    is_oom: bool = False
    is_device: bool = False
    is_misfit: bool = False

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
