"""What a batch costs the device, in tokens. Pure.

An engine that pads computes the longest pair's length for every pair. A *packed* one computes each
token once: the own tokens of each pair, and for the first pair that needs it each part of a prefix that is
not kept. What is kept costs nothing: it is brought layer by layer, which for each of its tokens takes about a
hundredth of what computing one takes, and less memory than one in the row; and attention to it is not
counted, as that inside documents is not.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from shards.pairs import Batch, EncodedPair, Part
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


def packed_work(batch: Batch, kept: Container[Part] = ()) -> Work:
    """Return the work of a packed batch, with what is kept of its prefixes."""
    claimed: set[Part] = set()
    computed = []
    for pair in batch:
        new = missing(pair, kept, claimed)
        claimed.update(new)
        computed.append(pair.own_tokens + sum(map(len, new)))
    return Work(
        computed, [len(pair) - tokens for pair, tokens in zip(batch, computed, strict=True)]
    )


def missing(pair: EncodedPair, *found: Container[Part]) -> list[Part]:
    """Return the parts of a pair's prefix that are nowhere to be found."""
    return [part for part in pair.parts if not any(part in some for some in found)]


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
