"""What a batch costs the device, in tokens. Pure.

An engine that pads computes the longest pair's length for every pair. A *packed* one computes each
token once: the own tokens of each pair, and the prefix that pairs share for the first of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shards.pairs import Batch
from shards.wire.messages import Scores

_MOST_BATCHES_TOLD = 1000  # in one answer, so that it fits a packet


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch did cost.

    Attributes:
        computed: tokens computed for each pair, padding included.
        saved: tokens of each pair that were not, for another pair or an earlier batch had them.
        prefix_hits, prefix_misses: parts of prefixes that were kept, and that were not.
    """

    computed: Sequence[int]
    saved: Sequence[int]
    prefix_hits: int = 0
    prefix_misses: int = 0


def padded_work(batch: Batch) -> Work:
    """Return the work of a batch as one padded tensor."""
    return Work([max(map(len, batch))] * len(batch), [0] * len(batch))


def packed_work(batch: Batch) -> Work:
    """Return the work of a packed batch without anything kept: the most that it can be."""
    claimed = set()
    saved = []
    for pair in batch:
        saved.append(len(pair) - pair.own_tokens if pair.prefix in claimed else 0)
        claimed.add(pair.prefix)
    return Work([len(pair) - less for pair, less in zip(batch, saved, strict=True)], saved)


def joined(works: Sequence[Work]) -> Work:
    """Return the work of pairs that were computed in several batches, in their order."""
    return Work(
        [tokens for work in works for tokens in work.computed],
        [tokens for work in works for tokens in work.saved],
        sum(work.prefix_hits for work in works),
        sum(work.prefix_misses for work in works),
    )


class Ledger:
    """What there is to tell of the batches since the last answer."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, int, int]] = []  # pairs, tokens, microseconds
        self._prefix_hits = self._prefix_misses = 0

    def note(self, work: Work, took_ns: int) -> None:
        """Note a batch that was computed."""
        self._batches.append((len(work.computed), sum(work.computed), took_ns // 1000))
        self._prefix_hits += work.prefix_hits
        self._prefix_misses += work.prefix_misses

    def tell(self, reply: Scores) -> Scores:
        """Add it to an answer; it is not told again."""
        told = self._batches[:_MOST_BATCHES_TOLD]
        if not told:
            return reply
        pairs, tokens, micros = zip(*told, strict=True)
        reply = replace(
            reply,
            batch_pairs=pairs,
            batch_tokens=tokens,
            batch_us=micros,
            prefix_hits=self._prefix_hits,
            prefix_misses=self._prefix_misses,
        )
        self._batches, self._prefix_hits, self._prefix_misses = [], 0, 0
        return reply
