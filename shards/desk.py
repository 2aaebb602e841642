"""What the threads of a shard share, under one lock: its open jobs, and what waits.

The intake opens jobs here and brings their pairs, the main thread takes batches. A job that nobody
waits for any more is answered when it takes no room here any more: at once where it only waits; where
the device or an encoder is at it, when that is done with it, which may be never. So a shard that is
stuck is not sent more and more.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from shards.batcher import Batcher, WaitingPair
from shards.budget import TokenBudget
from shards.documents import EncodedDocument
from shards.engines.prefixes import PrefixCache
from shards.jobs import Job, OpenJobs
from shards.wire.messages import Failed, Message, Score, Scores
from shards.work import Work

_CANCELLED = ("cancelled", "the client left")
_OVERDUE = ("deadline", "the deadline passed before the pairs were scored")
_SOON_SECONDS = 1.0  # in which more of a request comes, if it is on its way
_PORTION_BATCHES = 2  # of one job, before others have their turn


class Desk:
    """The open jobs of a shard, from the frame that brings one to its answer.

    Attributes:
        is_stopping: whether no more will come.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        batcher: Batcher,
        budget: TokenBudget,
        prefixes: PrefixCache,
    ) -> None:
        """Take what the engine keeps of prefixes, which is told what is awaited."""
        self.is_stopping = False
        self._send = send
        self._prefixes = prefixes
        self._jobs = OpenJobs()
        self._batcher = batcher
        self._budget = budget
        self._line: dict[int, tuple[Job, Score]] = {}  # of those that wait for an encoder
        self._in_encoders: frozenset[int] = frozenset()
        self._flights: deque[Counter[int]] = deque()  # pairs by job, of batches that were taken
        self._lock = threading.Lock()
        self._pairs_changed = threading.Condition(self._lock)
        self._line_changed = threading.Condition(self._lock)

    # -- for the intake ----------------------------------------------------------------------------

    def open(self, job: Job) -> None:
        """Take in a job, which an encoder begins with now."""
        with self._lock:
            self._jobs.open(job)
            self._in_encoders |= {job.id}

    def open_in_line(self, job: Job, score: Score) -> None:
        """Take in a job that waits for an encoder: see `next_in_line`."""
        with self._lock:
            self._jobs.open(job)
            self._line[job.id] = job, score
            self._line_changed.notify()

    def next_in_line(self) -> tuple[Job, Score] | None:
        """Wait for a job that an encoder is to begin with; `None` when no more will come."""
        with self._lock:
            self._line_changed.wait_for(lambda: self._line or self._is_finished)
            if not self._line:
                return None
            job, score = self._line.pop(next(iter(self._line)))
            self._in_encoders |= {job.id}
            return job, score

    def is_wanted(self, job: Job, now_ns: int) -> bool:
        """Whether anybody still waits for a job that an encoder is at."""
        if now_ns >= job.deadline_ns:
            self.fail(job.id, *_OVERDUE)
        with self._lock:
            return job.id in self._jobs

    def admit(self, job: Job, documents: Sequence[EncodedDocument]) -> None:
        """Let the pairs of a job wait to be scored."""
        with self._lock:
            job.take(documents)
            self._batcher.add(job.portion(self._portion_tokens))
            self._pairs_changed.notify()

    def encoded(self, job: Job) -> None:
        """An encoder is done with a job, whatever came of it."""
        with self._lock:
            self._in_encoders -= {job.id}
            dropped = self._jobs.dropped(but=self._held)
            self._tell_if_finished()
        self._answer(dropped)

    def cancel(self, job: int) -> None:
        """Nobody waits for this job any more."""
        with self._lock:
            is_held = job in self._held
            if is_held:
                self._jobs.drop(job)
        if not is_held:
            self.fail(job, *_CANCELLED)

    def stop(self) -> None:
        """No more jobs will come."""
        with self._lock:
            self.is_stopping = True
            self._tell_if_finished()

    # -- for the main thread -----------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether no more jobs will come, and all are answered."""
        with self._lock:
            return self._is_finished

    def next_batch(self) -> list[WaitingPair]:
        """Return what is to be scored together now; empty when no pair waits."""
        with self._lock:
            if self._batcher:
                self._prefixes.hold(self._jobs.awaited())
            batch = self._batcher.next_batch(self._jobs, self._prefixes)
            if batch:
                self._flights.append(Counter(waiting.job for waiting in batch))
            return batch

    def wait_for_pairs(self, seconds: float | None, or_until: Callable[[], bool]) -> None:
        """Wait until there are pairs, or all is finished; for so long, or until one called `wake`."""

        def is_over() -> bool:
            return bool(self._batcher) or self._is_finished or or_until()

        with self._lock:
            soon = _SOON_SECONDS if seconds is None else min(seconds, _SOON_SECONDS)
            if self._pairs_changed.wait_for(is_over, soon):
                return
            self._prefixes.rest(self._jobs.awaited())
            self._pairs_changed.wait_for(is_over, None if seconds is None else seconds - soon)

    def wake(self) -> None:
        """Have `wait_for_pairs` look again; called by any thread."""
        with self._lock:
            self._pairs_changed.notify()

    def scored(
        self,
        batch: Sequence[WaitingPair],
        margins: Sequence[float],
        started_ns: int,
        done_ns: int,
        work: Work,
    ) -> list[Scores]:
        """Note the margins of the first batch that was taken; return the answers of complete jobs."""
        with self._lock:
            replies = self._jobs.batch_scored(batch, margins, started_ns, done_ns, work)
            landed, flying = self._flights.popleft(), sum(self._flights, Counter[int]())
            self._batcher.add(self._jobs.portions(landed, self._portion_tokens, flying))
            dropped = self._jobs.dropped(but=self._held)
            self._tell_if_finished()
        self._answer(dropped)
        return replies

    def fail_overdue(self, now_ns: int) -> None:
        """Answer the jobs whose deadline has passed, but for those that an encoder is at."""
        with self._lock:
            overdue = [job for job in self._jobs.overdue(now_ns) if job not in self._in_encoders]
        for job in overdue:
            self.fail(job, *_OVERDUE)

    # -- for all -----------------------------------------------------------------------------------

    def fail(self, job: int, code: str, message: str, document: int = -1) -> None:
        """Answer a job with an error, unless it has been answered already."""
        with self._lock:
            closed = self._jobs.close(job)
            self._line.pop(job, None)
            self._tell_if_finished()
        if closed:
            self._send(Failed(job, code, message, document, closed.computed_tokens))

    def _answer(self, dropped: Sequence[Job]) -> None:
        for job in dropped:
            self._send(Failed(job.id, *_CANCELLED, computed_tokens=job.computed_tokens))

    @property
    def _held(self) -> frozenset[int]:
        """The jobs that the device or an encoder is at."""
        return self._in_encoders.union(*self._flights)

    @property
    def _is_finished(self) -> bool:
        return self.is_stopping and self._jobs.is_empty and not self._in_encoders

    def _tell_if_finished(self) -> None:
        if self._is_finished:
            self._pairs_changed.notify()
            self._line_changed.notify()

    @property
    def _portion_tokens(self) -> int:
        return _PORTION_BATCHES * self._budget.tokens
