"""Which pairs are scored together. Pure: the shard runs the batch.

First come, first served, in windows; within a window pairs of like length share a batch, across
jobs. A window is emptied before the next one is opened, so no pair can starve; a batch that
takes the last of it goes on with whoever came next. What a batch costs is held under the token budget;
a single pair over the budget makes a batch of its own.

A batch that is padded to its longest pair costs `longest * pairs` tokens, and is cut earlier where its
padding would cost more than another batch does. In a packed one every token counts once: the own
tokens of each pair, and the parts of prefixes that are not kept (see `work`). So pairs with the same prefix
go one after the other: it is computed with the first of them, and kept for no longer than need be.
A prefix over the budget takes that several times, and what it leaves of the last is filled with documents.

Pairs of jobs that have been closed meanwhile (answered with an error, cancelled, overdue) fall out
here, where work is chosen, and nowhere else.
"""

from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass
from math import ceil
from operator import attrgetter

from shards.budget import TokenBudget
from shards.pairs import EncodedPair, Part, Prefix
from shards.work import missing

_WINDOW_BATCHES = 4
_PADDING_SHARE = 0.125  # of a batch's tokens; beyond it the next pairs wait for their own batch
_OWN_TOKENS = attrgetter("own_tokens")
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

    @property
    def own_tokens(self) -> int:
        return self.pair.own_tokens


class Batcher:
    """The pairs that wait in one shard."""

    def __init__(self, budget: TokenBudget, *, packed: bool = False) -> None:
        self._budget = budget
        self._start = _Packed if packed else _Padded
        self._waiting: deque[WaitingPair] = deque()
        self._window: deque[WaitingPair] = deque()  # longest first

    def __len__(self) -> int:
        return len(self._waiting) + len(self._window)

    def add(self, pairs: Iterable[WaitingPair]) -> None:
        self._waiting.extend(pairs)

    def next_batch(
        self, open_jobs: Container[int], kept: Container[Part] = ()
    ) -> list[WaitingPair]:
        """Return the next batch, longest pair first; empty when nothing waits.

        Args:
            open_jobs: the jobs whose pairs are to be scored.
            kept: the parts of prefixes that need not be computed.
        """
        batch = self._start(self._budget.tokens, kept)
        while not batch.pairs and (self._window or self._open_window()):
            _fill(batch, self._window, open_jobs)
        if not self._window:
            _fill(batch, self._waiting, open_jobs)
        return sorted(batch.pairs, key=_OWN_TOKENS, reverse=True)

    def _open_window(self) -> bool:
        tokens = 0
        while self._waiting and tokens < _WINDOW_BATCHES * self._budget.tokens:
            tokens += self._waiting[0].own_tokens
            self._window.append(self._waiting.popleft())
        self._window = deque(_in_order(self._window))
        return bool(self._window)


def _in_order(window: Iterable[WaitingPair]) -> list[WaitingPair]:
    """Put pairs of one prefix together, first come, first served, and of these the longest first."""
    places: dict[Prefix | None, int] = {}
    order = [
        (places.setdefault(waiting.pair.prefix, len(places)), -waiting.own_tokens, at, waiting)
        for at, waiting in enumerate(window)
    ]
    return [waiting for *_, waiting in sorted(order)]


def _fill(
    batch: "_Padded | _Packed", waiting: deque[WaitingPair], open_jobs: Container[int]
) -> None:
    """Let a batch take the first of those that wait, as many as it can."""
    while waiting:
        if waiting[0].job in open_jobs:
            if batch.pairs and not batch.takes(waiting[0]):
                return
            batch.add(waiting[0])
        waiting.popleft()


class _Padded:
    """A batch that is padded to its longest pair."""

    def __init__(self, budget: int, kept: Container[Part]) -> None:
        self.pairs: list[WaitingPair] = []
        self._budget = budget
        self._useful = 0
        self._longest = 0

    def takes(self, waiting: WaitingPair) -> bool:
        cost = max(self._longest, len(waiting)) * (len(self.pairs) + 1)
        if cost > self._budget:
            return False
        padding = cost - self._useful - len(waiting)
        return padding <= cost * _PADDING_SHARE or cost <= self._budget * _SMALL_SHARE

    def add(self, waiting: WaitingPair) -> None:
        self.pairs.append(waiting)
        self._useful += len(waiting)
        self._longest = max(self._longest, len(waiting))


class _Packed:
    """A batch in which every token counts once."""

    def __init__(self, budget: int, kept: Container[Part]) -> None:
        self.pairs: list[WaitingPair] = []
        self._budget = self._left = budget
        self._kept = kept
        self._parts: set[Part] = set()

    def takes(self, waiting: WaitingPair) -> bool:
        return waiting.own_tokens + self._prefix_tokens(waiting) <= self._left

    def add(self, waiting: WaitingPair) -> None:
        tokens = self._prefix_tokens(waiting)
        if tokens > self._left:  # only the first pair's
            self._left += self._budget * ceil((tokens - self._left) / self._budget)
        self._left -= tokens + waiting.own_tokens
        self._parts.update(waiting.pair.parts)
        self.pairs.append(waiting)

    def _prefix_tokens(self, waiting: WaitingPair) -> int:
        return sum(map(len, missing(waiting.pair, self._kept, self._parts)))
