"""States of a shard, their transitions, and the restart policy. Pure: no clock, no chance, no I/O.

                    LOADS                  WARMS               UP         STALL, MOVE
    STOPPED ─START─▶ STARTING ───────────▶ LOADING ──────────▶ WARMING ─────▶ READY ◀─▶ SUSPECT
       ▲                │ └────────────────────┴──────┬───────────┘             │          │
       │                │                             ▼ LOST                    │          │
       │             REFUSED ──▶ FAILED ◀─GIVE_UP─ BACKOFF ◀────────LOST────────┴──────────┘
       │                            │                 │
       └──── LOST ── DRAINING ◀─────┴────── DRAIN ────┘      (from every state that has a process)

`LOST` is one event, however a process ended: exit, signal, closed pipe, no progress. A ready shard
without progress for a while is `SUSPECT`: it gets no new jobs, but may still answer; if it does
not, it is killed. `REFUSED` is the other end: the shard reports that its spec can never work, so
another start is useless until an operator has changed something. A shard that never becomes ready,
or that crashes by itself again and again, is given up (`FAILED`) and tried again only rarely; a
ready shard that was killed from outside is simply started again.

`STUCK` is a process that even SIGKILL does not end, because it waits in the kernel for its device
or a file system. From every state that has a process it leads to `FAILED`, and no process is
started until the stuck one is `GONE` after all; then the shard is lost like any other.

State names follow supervisord, the counting of losses in a window follows Erlang/OTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """The state of a shard."""

    STOPPED = auto()
    STARTING = auto()  # the process exists
    LOADING = auto()  # it reports what it loads
    WARMING = auto()  # the model is there, the first batches run
    READY = auto()  # it answers; jobs are dispatched to it
    SUSPECT = auto()  # it shows no progress; no new jobs until it does
    DRAINING = auto()  # no new jobs; it finishes those inside
    BACKOFF = auto()  # it was lost; waiting to be started again
    FAILED = auto()  # given up until an operator, or the slow retry, starts it again

    @property
    def label(self) -> str:
        return self.name.lower()


class Event(Enum):
    """An event of a shard."""

    START = auto()
    LOADS = auto()
    WARMS = auto()
    UP = auto()
    STALL = auto()
    MOVE = auto()
    LOST = auto()
    REFUSED = auto()
    STUCK = auto()
    GONE = auto()
    GIVE_UP = auto()
    DRAIN = auto()


_ENDINGS = {
    Event.LOST: State.BACKOFF,
    Event.REFUSED: State.FAILED,
    Event.STUCK: State.FAILED,
    Event.DRAIN: State.DRAINING,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.STOPPED: {Event.START: State.STARTING},
    State.STARTING: {Event.LOADS: State.LOADING, **_ENDINGS},
    State.LOADING: {Event.LOADS: State.LOADING, Event.WARMS: State.WARMING, **_ENDINGS},
    State.WARMING: {Event.UP: State.READY, **_ENDINGS},
    State.READY: {
        Event.STALL: State.SUSPECT,
        Event.LOST: State.BACKOFF,
        Event.STUCK: State.FAILED,
        Event.DRAIN: State.DRAINING,
    },
    State.SUSPECT: {
        Event.MOVE: State.READY,
        Event.LOST: State.BACKOFF,
        Event.STUCK: State.FAILED,
        Event.DRAIN: State.DRAINING,
    },
    State.DRAINING: {
        Event.LOADS: State.DRAINING,  # a start that was drained reports stages until it ends
        Event.WARMS: State.DRAINING,
        Event.UP: State.DRAINING,
        Event.LOST: State.STOPPED,
        Event.REFUSED: State.STOPPED,
        Event.STUCK: State.FAILED,
    },
    State.BACKOFF: {
        Event.START: State.STARTING,
        Event.GIVE_UP: State.FAILED,
        Event.DRAIN: State.STOPPED,
    },
    State.FAILED: {
        Event.START: State.STARTING,
        Event.GONE: State.BACKOFF,
        Event.DRAIN: State.STOPPED,
    },
}

COMING = frozenset(
    {
        State.STOPPED,
        State.STARTING,
        State.LOADING,
        State.WARMING,
        State.SUSPECT,
        State.BACKOFF,
    }
)
"""States from which a shard becomes ready by itself: jobs may wait for it."""

HAS_PROCESS = frozenset(
    {
        State.STARTING,
        State.LOADING,
        State.WARMING,
        State.READY,
        State.SUSPECT,
        State.DRAINING,
    }
)


class IllegalTransition(Exception):
    """An event arrived in a state that does not expect it: a bug, never a bad request."""


def after(state: State, event: Event) -> State:
    """Return the state that follows; an illegal pair raises and changes nothing."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.name} in {state.name}") from None


@dataclass(frozen=True, slots=True)
class Times:
    """The patience of a supervisor, in seconds.

    Attributes:
        load_timeout_seconds: the longest time of a load without progress.
        stop_seconds: the longest time for a shard to finish its jobs and end.
        kill_seconds: the longest time for its process to end after SIGKILL.
    """

    load_timeout_seconds: float = 600.0
    stop_seconds: float = 10.0
    kill_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The wait before the next start, and the limit for giving up.

    Attributes:
        first_seconds: the wait after the first loss; doubled for each further loss in a streak.
        longest_seconds: the longest wait.
        crash_limit: more counted losses than this in the window mean a crash loop.
        crash_window_seconds: the window.
        retry_failed_seconds: the wait before a shard in a crash loop is tried again.
        cpu_after_gpu_failures: failures after which a shard leaves its GPU for the CPU; 0 for
            never.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 60.0
    crash_limit: int = 5
    crash_window_seconds: float = 60.0
    retry_failed_seconds: float = 300.0
    cpu_after_gpu_failures: int = 0

    def wait_seconds(self, losses: int, spread: float) -> float:
        """Return the wait after a streak of losses; `spread` in [0, 1) moves it by ±20 %."""
        doublings = min(losses - 1, 30)
        return min(self.longest_seconds, self.first_seconds * 2.0**doublings) * (0.8 + 0.4 * spread)

    def is_crash_loop(self, loss_times: Sequence[float], now: float) -> bool:
        """Return whether too many losses (times in seconds) are in the window before `now`."""
        recent = [time for time in loss_times if time > now - self.crash_window_seconds]
        return len(recent) > self.crash_limit
