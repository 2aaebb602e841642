"""The open jobs and the waiting pairs of a shard, shared by its threads under one lock.

The intake opens jobs here and adds their pairs; the main thread takes batches. A cancelled job is
answered when it no longer occupies the shard: at once while it only waits; while the device or a
tokenizer works on it, after that, which may be never. So a stuck shard is not sent more and more.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from shards.cost import Work
from shards.engines.prefix_cache import PrefixCache
from shards.wire.messages import Failed, Message, Scores
from shards.worker.batcher import Batcher, TokenBudget, WaitingPair
from shards.worker.documents import TokenizedDocument
from shards.worker.open_jobs import OpenJob, OpenJobs

_CANCELLED = ("cancelled", "the client left")
_OVERDUE = ("deadline", "the deadline passed before the pairs were scored")
_SOON_SECONDS = 1.0  # the next job of a request comes within it, if there is one
_PORTION_BATCHES = 2  # of one job, before others have their turn


class Scheduler:
    """The open jobs of a shard, from the message that opens one to its answer.

    Attributes:
        is_stopping: whether no more jobs will come.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        batcher: Batcher,
        budget: TokenBudget,
        prefixes: PrefixCache,
    ) -> None:
        """Take the engine's prefix cache; the scheduler sets the prefixes that it awaits."""
        self.is_stopping = False
        self._send = send
        self._prefixes = prefixes
        self._jobs = OpenJobs()
        self._batcher = batcher
        self._budget = budget
        self._untokenized: dict[int, OpenJob] = {}  # the queue of the tokenizer of long texts
        self._tokenizing: frozenset[int] = frozenset()
        self._in_flight: deque[Counter[int]] = deque()  # pairs by job, of each batch taken
        self._lock = threading.Lock()
        self._pairs_changed = threading.Condition(self._lock)
        self._queue_changed = threading.Condition(self._lock)

    # -- for the intake ----------------------------------------------------------------------------

    def open(self, job: OpenJob) -> None:
        """Open a job that the calling thread tokenizes now."""
        with self._lock:
            self._jobs.open(job)
            self._tokenizing |= {job.id}

    def open_later(self, job: OpenJob) -> None:
        """Open a job that waits for the tokenizer of long texts: see `next_untokenized`."""
        with self._lock:
            self._jobs.open(job)
            self._untokenized[job.id] = job
            self._queue_changed.notify()

    def next_untokenized(self) -> OpenJob | None:
        """Wait for a job to tokenize; `None` when no more will come."""
        with self._lock:
            self._queue_changed.wait_for(lambda: self._untokenized or self._is_finished)
            if not self._untokenized:
                return None
            job = self._untokenized.pop(next(iter(self._untokenized)))
            self._tokenizing |= {job.id}
            return job

    def is_wanted(self, job: OpenJob, now_ns: int) -> bool:
        """Return whether a job is still open; close it first if it is overdue."""
        if now_ns >= job.score.deadline_ns:
            self.fail(job.id, *_OVERDUE)
        with self._lock:
            return job.id in self._jobs

    def add_pairs(self, job: OpenJob, documents: Sequence[TokenizedDocument]) -> None:
        """Queue the pairs of a job to be scored."""
        with self._lock:
            job.set_documents(documents)
            self._batcher.add(job.next_portion(self._portion_tokens))
            self._pairs_changed.notify()

    def tokenizing_ended(self, job: OpenJob) -> None:
        """Note that a tokenizer has left a job, whether or not that gave pairs."""
        with self._lock:
            self._tokenizing -= {job.id}
            cancelled = self._jobs.pop_cancelled(but=self._occupied)
            self._notify_if_finished()
        self._answer(cancelled)

    def cancel(self, job: int) -> None:
        """Close a job whose client left."""
        with self._lock:
            is_occupied = job in self._occupied
            if is_occupied:
                self._jobs.cancel(job)
        if not is_occupied:
            self.fail(job, *_CANCELLED)

    def stop(self) -> None:
        """Note that no more jobs will come."""
        with self._lock:
            self.is_stopping = True
            self._notify_if_finished()

    # -- for the main thread -----------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """True if no more jobs will come, and all are answered."""
        with self._lock:
            return self._is_finished

    def next_batch(self) -> list[WaitingPair]:
        """Return the pairs to score together now; empty when no pair waits."""
        with self._lock:
            if self._batcher:
                self._prefixes.set_awaited(self._jobs.awaited())
            batch = self._batcher.next_batch(self._jobs, self._prefixes)
            if batch:
                self._in_flight.append(Counter(waiting.job for waiting in batch))
            return batch

    def wait_for_pairs(self, seconds: float | None, or_until: Callable[[], bool]) -> None:
        """Wait for pairs, for the last answer, or for `or_until`, which `wake` tests again.

        Args:
            seconds: the longest wait; `None` for no limit.
        """

        def is_over() -> bool:
            return bool(self._batcher) or self._is_finished or or_until()

        with self._lock:
            soon = _SOON_SECONDS if seconds is None else min(seconds, _SOON_SECONDS)
            if self._pairs_changed.wait_for(is_over, soon):
                return
            self._prefixes.release_others(self._jobs.awaited())
            self._pairs_changed.wait_for(is_over, None if seconds is None else seconds - soon)

    def wake(self) -> None:
        """Have `wait_for_pairs` test its conditions again; called by any thread."""
        with self._lock:
            self._pairs_changed.notify()

    def batch_scored(
        self,
        batch: Sequence[WaitingPair],
        margins: Sequence[float],
        started_ns: int,
        done_ns: int,
        work: Work,
    ) -> list[Scores]:
        """Record the margins of the oldest batch taken; return the answers of complete jobs."""
        with self._lock:
            replies = self._jobs.batch_scored(batch, margins, started_ns, done_ns, work)
            landed, in_flight = self._in_flight.popleft(), sum(self._in_flight, Counter[int]())
            more = self._jobs.next_portions(landed, self._portion_tokens, in_flight)
            self._batcher.add(more)
            cancelled = self._jobs.pop_cancelled(but=self._occupied)
            self._notify_if_finished()
        self._answer(cancelled)
        return replies

    def fail_overdue(self, now_ns: int) -> None:
        """Answer the jobs whose deadline has passed, but for those in a tokenizer."""
        with self._lock:
            overdue = [job for job in self._jobs.overdue(now_ns) if job not in self._tokenizing]
        for job in overdue:
            self.fail(job, *_OVERDUE)

    # -- for all -----------------------------------------------------------------------------------

    def fail(self, job: int, code: str, message: str, document: int = -1) -> None:
        """Answer a job with an error, unless it has been answered already."""
        with self._lock:
            closed = self._jobs.close(job)
            self._untokenized.pop(job, None)
            self._notify_if_finished()
        if closed:
            self._send(Failed(job, code, message, document, closed.computed_tokens))

    def _answer(self, cancelled: Sequence[OpenJob]) -> None:
        for job in cancelled:
            self._send(Failed(job.id, *_CANCELLED, computed_tokens=job.computed_tokens))

    @property
    def _occupied(self) -> frozenset[int]:
        """The jobs that the device or a tokenizer works on."""
        return self._tokenizing.union(*self._in_flight)

    @property
    def _is_finished(self) -> bool:
        return self.is_stopping and self._jobs.is_empty and not self._tokenizing

    def _notify_if_finished(self) -> None:
        if self._is_finished:
            self._pairs_changed.notify()
            self._queue_changed.notify()

    @property
    def _portion_tokens(self) -> int:
        return _PORTION_BATCHES * self._budget.tokens
