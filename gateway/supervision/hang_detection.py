"""Hang detection: whether a ready shard works, is slow, or hangs. Pure: time is passed in.

The sign of life is progress, not a heartbeat: a thread that sends heartbeats goes on while the
device call beside it never returns, and falls silent while a healthy tokenizer holds the
interpreter. Progress means that the work in the shard moves: a batch begun or done, a job
tokenized. The shard writes its counts into shared memory before and after each step (a batch or,
where the engine reports them, a layer of it), so even a process that can run no further line of
Python (stopped, blocked in a driver, spinning in C) has already written them.

The device and each tokenizer are watched separately: the progress of small jobs must not hide a
batch that does not end, or a long text from which a tokenizer does not return. If neither is at
work although jobs wait, the next step must begin in time.

A step may take four times as long as expected, and never less than two seconds; half of that makes
the shard a suspect. A job that is isolated in the shard, because it is suspected of an earlier
hang, has twice the time. The shard predicts the time of a batch from its earlier batches; the time
to tokenize follows from the bytes.

Two kinds of time do not count. Time without a look: when the whole machine was paused, the shard
was, too. Time in which the shard waited for a CPU: a busy machine or a quota is no fault of the
shard or of a text inside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from shards.wire.arena import Progress

_SHORTEST_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # whatever a shard expects, this is a hang
_FACTOR = 4.0
_ISOLATED_FACTOR = 2.0
_LONGEST_GAP_SECONDS = 0.5  # between two looks; more was a pause of the gateway
_SUSPECT_SHARE = 0.5
_TOKENIZED_BYTES_PER_SECOND = 500_000  # slower than any tokenizer measured


class ProgressState(Enum):
    """The progress of a shard."""

    MOVING = auto()
    STALLED = auto()
    HUNG = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a shard.

    Attributes:
        progress: its counts.
        waiting_bytes: text of the jobs inside it; 0 when it is idle.
        is_isolated: whether a suspected job is alone inside.
        now: seconds of CLOCK_MONOTONIC.
    """

    progress: Progress
    waiting_bytes: int
    is_isolated: bool
    now: float

    def steps(self) -> list["Step"]:
        """Return the steps that must make progress; none when the shard is idle."""
        if not self.waiting_bytes:
            return []
        progress = self.progress
        counts = (progress.started, progress.done, *progress.tokenized)
        steps = []
        if progress.is_on_device:
            batches = (progress.started, progress.done)
            steps.append(Step("device", batches, self._patience(progress.expected_ns)))
        tokenizing_ns = self.waiting_bytes * 1_000_000_000 // _TOKENIZED_BYTES_PER_SECOND
        tokenizers = zip(progress.tokenized, progress.tokenizing, strict=True)
        for number, (count, job) in enumerate(tokenizers):
            if job:
                patience = self._patience(tokenizing_ns)
                steps.append(Step(f"tokenizer {number}", (count, job), patience))
        return steps or [Step("intake", counts, self._patience(tokenizing_ns))]

    def _patience(self, expected_ns: int) -> float:
        """Return the most seconds of a step that is expected to take `expected_ns`."""
        seconds = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _FACTOR * expected_ns / 1e9))
        return seconds * (_ISOLATED_FACTOR if self.is_isolated else 1.0)


class Step(NamedTuple):
    """One activity of a shard.

    Attributes:
        name: the device, a tokenizer, or the intake.
        counts: numbers that change with each progress.
        patience_seconds: the longest time without a change.
    """

    name: str
    counts: tuple[int, ...]
    patience_seconds: float


class HangDetector:
    """Follows one shard from reading to reading.

    Attributes:
        still_seconds: the time without progress of the step that is nearest to its limit.
        patience_seconds: that limit.
    """

    def __init__(self) -> None:
        self.still_seconds = 0.0
        self.patience_seconds = _SHORTEST_SECONDS
        self._still: dict[str, tuple[tuple[int, ...], float]] = {}  # by name of the step
        self._looked: float | None = None

    def look(
        self, reading: Reading, cpu_wait: Callable[[float], float] = lambda gap: 0.0
    ) -> ProgressState:
        """Compare a reading with the one before, and return the progress.

        Args:
            reading: the shard now.
            cpu_wait: returns the time in the last `gap` seconds for which the shard waited for a
                CPU; called only if a step has made no progress.
        """
        gap = 0.0 if self._looked is None else reading.now - self._looked
        self._looked = reading.now
        before, self._still = self._still, {}
        self.still_seconds, self.patience_seconds = 0.0, _SHORTEST_SECONDS
        steps = reading.steps()
        if any(before.get(step.name, ((), 0.0))[0] == step.counts for step in steps):
            gap = min(gap - cpu_wait(gap), _LONGEST_GAP_SECONDS)
        for name, counts, patience in steps:
            last, still = before.get(name, ((), 0.0))
            still = still + gap if last == counts else 0.0
            self._still[name] = counts, still
            if still / patience >= self.still_seconds / self.patience_seconds:
                self.still_seconds, self.patience_seconds = still, patience
        if self.still_seconds >= self.patience_seconds:
            return ProgressState.HUNG
        is_stalled = self.still_seconds >= _SUSPECT_SHARE * self.patience_seconds
        return ProgressState.STALLED if is_stalled else ProgressState.MOVING
