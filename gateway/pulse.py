"""Is a ready shard working, slow, or hung? Pure: time is passed in.

Told by progress, not by a heartbeat: a thread that says "alive" goes on saying so while the device
call beside it never returns, and falls silent while a healthy tokenizer holds the interpreter. What
counts is that the work in the shard moves: a batch begun or done, a job encoded. The shard writes
that into shared memory before and after each step (a batch, or, where the engine tells, a layer of it), so even a process that cannot run another line
of Python (stopped, blocked in a driver, spinning in C) has said all that is needed.

Device and encoders are watched each by itself: small jobs that are encoded one after the other say nothing
of a batch that does not end, nor of a long text that an encoder has not come back from. What nobody is at
yet must at least be begun.

A step may take four times as long as it should, and never less than two seconds; half of that makes
the shard a suspect. A job that is alone in the shard, because it is suspected of an earlier hang, has
twice the time before it is found guilty. What a batch should take the shard has learnt from its
batches; what encoding should take follows from the bytes.

Time in which nobody looked does not count: when the whole machine was paused, the shard was, too.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

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

    def steps(self) -> list["Step"]:
        """What the shard is at; each must move. Nothing, when it has nothing to do."""
        if not self.waiting_bytes:
            return []
        said = self.progress
        counts = (said.started, said.done, *said.encoded)
        steps = []
        if said.is_on_device:
            steps.append(
                Step("device", (said.started, said.done), self._patience(said.expected_ns))
            )
        encoding_ns = self.waiting_bytes * 1_000_000_000 // _ENCODED_BYTES_PER_SECOND
        for encoder, (count, job) in enumerate(zip(said.encoded, said.encoding, strict=True)):
            if job:
                steps.append(Step(f"encoder {encoder}", (count, job), self._patience(encoding_ns)))
        return steps or [Step("intake", counts, self._patience(encoding_ns))]

    def _patience(self, expected_ns: int) -> float:
        """Return how many seconds a step that should take so long may take."""
        seconds = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _FACTOR * expected_ns / 1e9))
        return seconds * (_SOLO_FACTOR if self.is_solo else 1.0)


class Step(NamedTuple):
    """One thing that a shard is at.

    Attributes:
        name: who is at it.
        counts: what changes when it moves.
        patience_seconds: how long it may not.
    """

    name: str
    counts: tuple[int, ...]
    patience_seconds: float


class PulseWatch:
    """Follows one shard from reading to reading.

    Attributes:
        still_seconds: how long the step that is nearest to the end of its patience has not moved.
        patience_seconds: how long it may not.
    """

    def __init__(self) -> None:
        self.still_seconds = 0.0
        self.patience_seconds = _SHORTEST_SECONDS
        self._still: dict[str, tuple[tuple[int, ...], float]] = {}  # by who is at it
        self._looked: float | None = None

    def look(self, reading: Reading) -> Pulse:
        """Take a reading and say what it means."""
        gap = 0.0 if self._looked is None else reading.now - self._looked
        self._looked = reading.now
        before, self._still = self._still, {}
        self.still_seconds, self.patience_seconds = 0.0, _SHORTEST_SECONDS
        for name, counts, patience in reading.steps():
            last, still = before.get(name, ((), 0.0))
            still = still + min(gap, _LONGEST_GAP_SECONDS) if last == counts else 0.0
            self._still[name] = counts, still
            if still / patience >= self.still_seconds / self.patience_seconds:
                self.still_seconds, self.patience_seconds = still, patience
        if self.still_seconds >= self.patience_seconds:
            return Pulse.HUNG
        is_stalled = self.still_seconds >= _SUSPECT_SHARE * self.patience_seconds
        return Pulse.STALLED if is_stalled else Pulse.MOVING
