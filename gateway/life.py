"""One life of a shard: a process, its pipe, and what its end says about whom.

However a process ends, its exit code and what it last wrote about its progress tell whose doing it
was. A crash or a hang was its own, and the jobs it was at are suspects. SIGKILL and SIGTERM come
from outside, and so does a stop (SIGSTOP) that looks like a hang: they say nothing about the jobs.
"""

import asyncio
import signal
import time
from dataclasses import dataclass, field

from gateway.pulse import PulseWatch
from gateway.spawn import Child
from shards.wire.arena import Progress
from shards.wire.exit_codes import PERMANENT, ExitCode
from shards.wire.pipe import GatewayEnd

_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM})


@dataclass(slots=True)
class Life:
    """A running shard process.

    Attributes:
        ended: set when the process is gone.
        last_word: monotonic seconds of its last message while it loads.
        was_ready: whether it ever was.
        verdict: why we ended it, or why it said it would end; empty if it just did.
        is_innocent: whether `verdict` has nothing to do with the jobs inside.
    """

    child: Child
    pipe: GatewayEnd
    pulse: PulseWatch = field(default_factory=PulseWatch)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_word: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    verdict: str = ""
    is_innocent: bool = False
    killing: asyncio.TimerHandle | None = None

    def kill_in(self, seconds: float) -> None:
        """End the process unless it has ended by then."""
        if self.killing is None:
            loop = asyncio.get_running_loop()
            self.killing = loop.call_later(seconds, self.child.kill)

    def bury(self) -> "Ending":
        """Give back what the process had, once it is gone, and say how it ended."""
        if self.killing is not None:
            self.killing.cancel()
        return how_it_ended(
            self.child.reap(),
            self.pipe.progress(),
            was_ready=self.was_ready,
            verdict=self.verdict,
            is_innocent=self.is_innocent,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a life ended.

    Attributes:
        reason: in words, for the operator.
        is_refusal: whether starting again is useless.
        is_crash: whether it was the shard's own doing.
        suspects: the jobs that may have caused it.
    """

    reason: str
    is_refusal: bool
    is_crash: bool
    suspects: frozenset[int]


def how_it_ended(
    code: int, progress: Progress, *, was_ready: bool, verdict: str, is_innocent: bool
) -> Ending:
    """Judge the end of a process by its exit code (negative: minus the signal)."""
    jobs = ({*progress.jobs} if progress.is_on_device else set()) | ({progress.encoding} - {0})
    came_from_outside = is_innocent or (was_ready and not verdict and code in _FROM_OUTSIDE)
    where = f" while it was at {len(jobs)} jobs" if jobs else ""
    return Ending(
        reason=verdict or _in_words(code) + where,
        is_refusal=code in PERMANENT and not was_ready,
        is_crash=not came_from_outside,
        suspects=frozenset() if came_from_outside else frozenset(jobs),
    )


def _in_words(code: int) -> str:
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}  # real-time ones have none
        return f"ended by signal {names.get(-code, -code)}"
    known = f" ({ExitCode(code).name.lower()})" if code in set(ExitCode) else ""
    return f"exited with code {code}{known}"
