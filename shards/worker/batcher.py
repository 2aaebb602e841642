"""Grouping of pairs into batches, and the token budget of a batch. Pure: the runner computes them.

First come, first served, in windows; within a window pairs of similar length share a batch, across
jobs. A window is emptied before the next one is opened, so no pair can starve; a batch that takes
the last pairs of a window is topped up with the pairs that came next. A batch costs at most the
token budget; a single pair over the budget makes a batch of its own.

A batch that is padded to its longest pair costs `longest * pairs` tokens. It is cut earlier where
its padding would cost more than another batch does. In a packed batch every token counts once: the
own tokens of each pair, and the parts of prefixes that are not cached (see `shards.cost`). So pairs
with the same prefix go one after the other: the prefix is computed with the first of them, and
cached no longer than needed. A prefix over the budget takes the budget several times, and documents
fill the remainder of the last one.

Pairs of jobs that were closed meanwhile (failed, cancelled, overdue) are dropped here, when a batch
is formed, and nowhere else.
"""

from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass
from math import ceil
from operator import attrgetter

from shards.cost import missing
from shards.pairs import Part, Prefix, TokenizedPair

_WINDOW_BATCHES = 4
_PADDING_SHARE = 0.125  # of a batch's tokens; beyond it the next pairs wait for their own batch
_OWN_TOKENS = attrgetter("own_tokens")
_SMALL_SHARE = 0.0625  # of the token budget; below it a batch costs about as much as its launch
_BATCHES_BEFORE_RAISE = 100
_RAISE_SHARE = 16


class TokenBudget:
    """The most tokens of one batch.

    Memory that other programs take, or a batch of an unlucky shape, makes a budget too large that
    was right before. So it is halved at once when a batch does not fit, and raised by a sixteenth
    after each hundred batches that fit, up to its full size: down fast, up slowly, as the window of
    TCP.

    Attributes:
        tokens: the current limit.
    """

    def __init__(self, tokens: int, first_tokens: int = 0) -> None:
        """Begin with `first_tokens`, unless 0, and grow to `tokens`."""
        self.tokens = min(tokens, first_tokens or tokens)
        self._full = tokens
        self._fitting_batches = 0

    def did_not_fit(self, tokens: int) -> None:
        """Record that a batch of so many tokens was too large."""
        self.tokens = max(1, min(self.tokens, tokens) // 2)
        self._fitting_batches = 0

    def fitted(self) -> None:
        """Record that a batch was not too large."""
        if self.tokens == self._full:
            return
        self._fitting_batches += 1
        if self._fitting_batches >= _BATCHES_BEFORE_RAISE:
            self._fitting_batches = 0
            self.tokens = min(self._full, self.tokens + max(1, self._full // _RAISE_SHARE))


@dataclass(frozen=True, slots=True)
class WaitingPair:
    """A tokenized pair with its place in its job, and that of its document."""

    job: int
    index: int
    pair: TokenizedPair
    document: int = 0

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def own_tokens(self) -> int:
        return self.pair.own_tokens


class Batcher:
    """The waiting pairs of one shard."""

    def __init__(self, budget: TokenBudget, *, packed: bool = False) -> None:
        self._budget = budget
        self._new_batch = _PackedBatch if packed else _PaddedBatch
        self._waiting: deque[WaitingPair] = deque()
        self._window: deque[WaitingPair] = deque()  # longest first

    def __len__(self) -> int:
        return len(self._waiting) + len(self._window)

    def add(self, pairs: Iterable[WaitingPair]) -> None:
        self._waiting.extend(pairs)

    def next_batch(
        self, open_jobs: Container[int], cached: Container[Part] = ()
    ) -> list[WaitingPair]:
        """Return the next batch, longest pair first; empty when nothing waits.

        Args:
            open_jobs: the jobs whose pairs are to be scored.
            cached: the parts of prefixes that need not be computed.
        """
        batch = self._new_batch(self._budget.tokens, cached)
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
    """Sort pairs by prefix, first come, first served; within a prefix the longest first."""
    ranks: dict[Prefix | None, int] = {}
    order = [
        (ranks.setdefault(waiting.pair.prefix, len(ranks)), -waiting.own_tokens, at, waiting)
        for at, waiting in enumerate(window)
    ]
    return [waiting for *_, waiting in sorted(order)]


def _fill(
    batch: "_PaddedBatch | _PackedBatch", waiting: deque[WaitingPair], open_jobs: Container[int]
) -> None:
    """Move the first waiting pairs to a batch, as many as fit."""
    while waiting:
        if waiting[0].job in open_jobs:
            if batch.pairs and not batch.takes(waiting[0]):
                return
            batch.add(waiting[0])
        waiting.popleft()


class _PaddedBatch:
    """A batch that is padded to its longest pair."""

    def __init__(self, budget: int, cached: Container[Part]) -> None:
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


class _PackedBatch:
    """A batch in which every token counts once."""

    def __init__(self, budget: int, cached: Container[Part]) -> None:
        self.pairs: list[WaitingPair] = []
        self._budget = self._left = budget
        self._cached = cached
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
        return sum(map(len, missing(waiting.pair, self._cached, self._parts)))
