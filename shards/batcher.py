"""Which pairs are scored together. Pure: the shard runs the batch.

First come, first served, in windows; within a window pairs of like length share a batch, across
jobs. A window is emptied before the next one is opened, so no pair can starve. A batch is padded to
its longest pair, so it costs `longest * pairs` tokens, and that is held under the token budget (a
single pair over the budget makes a batch of its own); and it is cut earlier where its padding would cost more than another batch does.

Pairs of jobs that have been closed meanwhile (answered with an error, cancelled, overdue) fall out
here, where work is chosen, and nowhere else.
"""

from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass

from shards.budget import TokenBudget
from shards.pairs import EncodedPair

_WINDOW_BATCHES = 4
_PADDING_SHARE = 0.125  # of a batch's tokens; beyond it the next pairs wait for their own batch
_SMALL_SHARE = 0.0625  # of the token budget; below it a batch costs about as much as its launch


@dataclass(frozen=True, slots=True)
class WaitingPair:
    """An encoded pair, and where its score belongs: its own place in the job, and its document's."""

    job: int
    index: int
    pair: EncodedPair
    document: int = 0

    def __len__(self) -> int:
        return len(self.pair)


class Batcher:
    """The pairs that wait in one shard."""

    def __init__(self, budget: TokenBudget) -> None:
        self._budget = budget
        self._waiting: deque[WaitingPair] = deque()
        self._window: list[WaitingPair] = []  # shortest first

    def __len__(self) -> int:
        return len(self._waiting) + len(self._window)

    def add(self, pairs: Iterable[WaitingPair]) -> None:
        self._waiting.extend(pairs)

    def next_batch(self, open_jobs: Container[int]) -> list[WaitingPair]:
        """Return the next batch, longest pair first; empty when nothing waits."""
        batch: list[WaitingPair] = []
        useful = 0
        while self._window or self._open_window():
            waiting = self._window[-1]
            if waiting.job not in open_jobs:
                self._window.pop()
                continue
            if batch and not self._joins(len(waiting), batch, useful):
                break
            batch.append(self._window.pop())
            useful += len(waiting)
            if not self._window:
                break  # pairs of the next window may be longer
        return batch

    def _joins(self, length: int, batch: list[WaitingPair], useful: int) -> bool:
        cost = len(batch[0]) * (len(batch) + 1)
        if cost > self._budget.tokens:
            return False
        padding = cost - useful - length
        return padding <= cost * _PADDING_SHARE or cost <= self._budget.tokens * _SMALL_SHARE

    def _open_window(self) -> bool:
        tokens = 0
        while self._waiting and tokens < _WINDOW_BATCHES * self._budget.tokens:
            tokens += len(self._waiting[0])
            self._window.append(self._waiting.popleft())
        self._window.sort(key=len)
        return bool(self._window)
