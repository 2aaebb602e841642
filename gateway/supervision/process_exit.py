"""The end of a shard process: its cause, and the consequences for its shard.

The cause follows from the exit code and from the last progress that the process wrote. A crash or a
hang is the shard's own fault, and the jobs in progress are suspects. SIGKILL and SIGTERM come from
outside, and so does a stop (SIGSTOP) that looks like a hang: these leave no suspects. The exception
is a SIGKILL that the kernel counted as an out-of-memory kill (`oom_kills`): then the jobs in
progress may have been too large.

A crash counts towards giving up the shard unless there are suspects. Such a shard was ready, so it
works, and a client that sends one poisonous pair after the other must not take the model away from
all other clients. An out-of-memory kill counts in any case: otherwise a shard that has no room
would be restarted again and again.
"""

import signal
from collections import deque
from dataclasses import dataclass

from gateway.supervision.degradation import Degradation
from gateway.supervision.lifecycle import Event, RestartPolicy
from gateway.supervision.outlier_detection import OutlierDetector
from gateway.supervision.shard_log import ShardLog
from shards.wire.arena import Progress
from shards.wire.exit_codes import PERMANENT, ExitCode

REFUSED_TO_START = "shard refused to start"

_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM})
_OF_THE_DEVICE = frozenset({ExitCode.DEVICE, ExitCode.TEMPORARY})
_OUT_OF_MEMORY = " by the kernel, out of memory"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a shard process.

    Attributes:
        reason: a text for the operator.
        is_refusal: whether another start would end the same way.
        is_crash: whether the shard itself is at fault.
        suspects: ids of the jobs that may have caused it.
        is_oom_kill: whether the kernel killed the process because memory ran out.
        is_device_failure: whether its device failed, or could not be started on.
        is_spec_error: whether the spec does not fit the machine.
        is_stuck: whether the process is still there.
        token_budget: the most tokens of its batches; 0 if it never was ready.
    """

    reason: str
    is_refusal: bool = False
    is_crash: bool = True
    suspects: frozenset[int] = frozenset()
    is_oom_kill: bool = False
    is_device_failure: bool = False
    is_spec_error: bool = False
    is_stuck: bool = False
    token_budget: int = 0

    @property
    def counts_towards_crash_loop(self) -> bool:
        """True if it counts towards giving up the shard."""
        return self.is_crash and (self.is_oom_kill or not self.suspects)


def classify_exit(
    code: int,
    progress: Progress,
    *,
    was_ready: bool,
    kill_reason: str = "",
    was_stopped: bool = False,
    is_oom_kill: bool = False,
) -> Exit:
    """Return the cause of an end.

    Args:
        code: the exit code; negative: minus the signal.
        progress: the last progress that the process wrote.
        was_ready: whether its shard became ready.
        kill_reason: the gateway's reason to kill it, or its own reason to refuse; empty for
            neither.
        was_stopped: whether a SIGSTOP from outside looked like a hang.
        is_oom_kill: whether the kernel killed it because memory ran out.
    """
    on_device = {*progress.jobs} if progress.is_on_device else set()
    jobs = on_device | {*progress.tokenizing} - {0}
    was_killed = was_ready and not kill_reason and not is_oom_kill and code in _FROM_OUTSIDE
    came_from_outside = was_stopped or was_killed
    is_canary = code == ExitCode.CANARY  # wrong scores are the shard's fault, whatever the jobs
    where = f" while it was at {len(jobs)} jobs" if jobs else ""
    return Exit(
        reason=kill_reason or _text_of(code) + (_OUT_OF_MEMORY if is_oom_kill else "") + where,
        is_refusal=code in PERMANENT and not was_ready,
        is_crash=not came_from_outside,
        suspects=frozenset() if came_from_outside or is_canary else frozenset(jobs),
        is_oom_kill=is_oom_kill,
        is_device_failure=not is_oom_kill and (code in _OF_THE_DEVICE or not was_ready),
        is_spec_error=code == ExitCode.SPEC and not was_ready,
    )


def _text_of(code: int) -> str:
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}  # real-time ones have none
        return f"ended by signal {names.get(-code, -code)}"
    known = f" ({ExitCode(code).name.lower()})" if code in set(ExitCode) else ""
    return f"exited with code {code}{known}"


class LossHistory:
    """The unrequested ends of one shard, which decide when and on which device it starts again.

    Attributes:
        last_error: the reason of the last one.
    """

    def __init__(
        self,
        log: ShardLog,
        policy: RestartPolicy,
        outliers: OutlierDetector,
        degradation: Degradation,
    ) -> None:
        self.last_error = ""
        self._log = log
        self._policy = policy
        self._outliers = outliers
        self._degradation = degradation
        self._losses_in_a_row = 0
        self._was_ever_ready = False
        self._crash_times: deque[float] = deque(maxlen=policy.crash_limit + 1)

    def record_ready(self) -> None:
        """Record that a start has succeeded."""
        self._was_ever_ready = True
        self._losses_in_a_row = 0

    def record(self, end: Exit, now: float, *, blames_pair: bool = False) -> Event:
        """Record an unrequested end; return the event that it is for the state of the shard.

        Args:
            end: the end.
            now: the time, in monotonic seconds.
            blames_pair: whether a job that was alone in the shard is a suspect, rather than the
                GPU.
        """
        is_repeated = end.reason == self.last_error and self._losses_in_a_row > 0
        self.last_error = end.reason
        if end.is_stuck:
            self._losses_in_a_row += 1
            self._log.error("shard has failed: %s", end.reason)
            return Event.STUCK
        if self._degrade(end, now, blames_pair):
            self._log.error("shard goes on on the CPU: %s", end.reason)
            return Event.LOST
        if end.is_refusal:
            self._log.error(f"{REFUSED_TO_START}: %s", end.reason)
            return Event.REFUSED
        self._count(end, now)
        if not is_repeated:
            self._log.warning("shard is lost: %s", end.reason)
        elif self._losses_in_a_row.bit_count() == 1:  # the 2nd, 4th, 8th, ... in a row
            times = {"times": self._losses_in_a_row}
            self._log.warning("shard is lost again at its start, for the same reason", extra=times)
        return Event.LOST

    def _degrade(self, end: Exit, now: float, blames_pair: bool) -> bool:
        """Reduce what the shard failed for; return whether it leaves its GPU from now on."""
        if end.is_oom_kill:
            self._degradation.record_oom_kill(now, end.token_budget)
        if end.is_refusal:
            is_gone = end.is_spec_error and self._was_ever_ready
            return is_gone and self._degradation.leave_missing_device()
        is_device = end.is_device_failure and end.is_crash and not blames_pair
        return is_device and self._degradation.record_device_failure(now)

    def _count(self, end: Exit, now: float) -> None:
        self._losses_in_a_row += 1
        if end.is_crash:
            self._outliers.record_crash(now)
        if end.counts_towards_crash_loop:
            self._crash_times.append(now)

    def is_crash_loop(self, now: float) -> bool:
        """Return whether the shard crashed too often of late."""
        return self._policy.is_crash_loop(self._crash_times, now)

    def forget_crashes(self) -> None:
        """Start the count of crashes anew."""
        self._crash_times.clear()

    def wait_seconds(self, spread: float) -> float:
        """Return the wait before the next start; `spread` in [0, 1) moves it by ±20 %."""
        return self._policy.wait_seconds(self._losses_in_a_row, spread)
