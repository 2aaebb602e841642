"""Is a ready shard working, slow, or hung? Pure: time is passed in.

Told by progress, not by a heartbeat: a thread that says "alive" goes on saying so while the device
call beside it never returns, and falls silent while a healthy tokenizer holds the interpreter. What
counts is that the work in the shard moves: a batch begun or done, a job encoded. The shard writes
that into shared memory before and after each step (a batch, or, where the engine tells, a layer of it), so even a process that cannot run another line
of Python (stopped, blocked in a driver, spinning in C) has said all that is needed.

A step may take four times as long as it should, and never less than two seconds; half of that makes
the shard a suspect. A job that is alone in the shard, because it is suspected of an earlier hang, has
twice the time before it is found guilty. What a batch should take the shard has learnt from its
batches; what encoding should take follows from the bytes.

Time in which nobody looked does not count: when the whole machine was paused, the shard was, too.
"""

from dataclasses import dataclass
from enum import Enum, auto

from shards.wire.arena import Progress

_SHORTEST_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # whatever a shard expects, this is a hang
_FACTOR = 4.0
_SOLO_FACTOR = 2.0
_LONGEST_GAP_SECONDS = 0.5  # between two looks; what is beyond was a pause of ours
_SUSPECT_SHARE = 0.5
_ENCODED_BYTES_PER_SECOND = 500_000  # slower than any tokenizer measured


class Pulse(Enum):
    """What the progress of a shard says."""

    MOVING = auto()
    STALLED = auto()
    HUNG = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a shard.

    Attributes:
        progress: what it wrote.
        waiting_bytes: text of the jobs inside it; 0 when it has nothing to do.
        is_solo: whether the job inside is a suspect, alone.
        now: seconds of CLOCK_MONOTONIC.
    """

    progress: Progress
    waiting_bytes: int
    is_solo: bool
    now: float

    @property
    def steps(self) -> tuple[int, int, int]:
        """What changes when the shard moves."""
        return self.progress.started, self.progress.done, self.progress.encoded

    @property
    def patience_seconds(self) -> float:
        """How long the step that the shard is at may take."""
        if self.progress.is_on_device:
            expected = self.progress.expected_ns / 1e9
        else:
            expected = self.waiting_bytes / _ENCODED_BYTES_PER_SECOND
        patience = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _FACTOR * expected))
        return patience * (_SOLO_FACTOR if self.is_solo else 1.0)


class PulseWatch:
    """Follows one shard from reading to reading.

    Attributes:
        still_seconds: how long it has not moved, though it had work.
    """

    def __init__(self) -> None:
        self.still_seconds = 0.0
        self._steps: tuple[int, int, int] | None = None
        self._looked: float | None = None

    def look(self, reading: Reading) -> Pulse:
        """Take a reading and say what it means."""
        gap = 0.0 if self._looked is None else reading.now - self._looked
        self._looked = reading.now
        if reading.waiting_bytes and reading.steps == self._steps:
            self.still_seconds += min(gap, _LONGEST_GAP_SECONDS)
        else:
            self._steps, self.still_seconds = reading.steps, 0.0
        patience = reading.patience_seconds
        if self.still_seconds >= patience:
            return Pulse.HUNG
        return Pulse.STALLED if self.still_seconds >= _SUSPECT_SHARE * patience else Pulse.MOVING
