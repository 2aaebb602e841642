"""The cost of a batch on the device, in tokens. Pure.

An engine that pads computes the longest pair's length for every pair. In a *packed* batch each
token counts once: the own tokens of each pair, and for the first pair that needs it each part of a
prefix that the prefix cache lacks. A cached part is free: it is copied layer by layer, which takes
about a hundredth of computing its tokens, and less memory than they would take in the row.
Attention to cached parts is not counted, as attention inside documents is not.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from shards.pairs import Batch, Part, TokenizedPair

_ATTENTION_TOKENS = 2048
_MOST_BATCHES_REPORTED = 1000  # in one answer, so that it fits a packet


@dataclass(frozen=True, slots=True)
class Work:
    """The cost of a batch that was computed.

    Attributes:
        computed: tokens computed for each pair, padding included.
        saved: tokens of each pair that another pair or an earlier batch had computed.
        prefix_hits, prefix_misses: parts of prefixes that were cached, and that were not.
    """

    computed: Sequence[int]
    saved: Sequence[int]
    prefix_hits: int = 0
    prefix_misses: int = 0


def padded_work(batch: Batch) -> Work:
    """Return the work of a batch as one padded tensor."""
    return Work([max(map(len, batch))] * len(batch), [0] * len(batch))


def packed_work(batch: Batch, cached: Container[Part] = ()) -> Work:
    """Return the work of a packed batch, given the cached parts of prefixes."""
    claimed: set[Part] = set()
    computed = []
    for pair in batch:
        new = missing(pair, cached, claimed)
        claimed.update(new)
        computed.append(pair.own_tokens + sum(map(len, new)))
    return Work(
        computed, [len(pair) - tokens for pair, tokens in zip(batch, computed, strict=True)]
    )


def missing(pair: TokenizedPair, *places: Container[Part]) -> list[Part]:
    """Return the parts of a pair's prefix that none of these places has."""
    return [part for part in pair.parts if not any(part in place for place in places)]


def attended_tokens(computed: Sequence[int], batch: Batch) -> int:
    """Return the cost of a batch in tokens with attention, which is quadratic in a pair's length.

    A token of a pair with `_ATTENTION_TOKENS` tokens costs twice as much as a lone one. The true
    number is about six times the width of the model; this one is right for small models, where it
    matters, and learning the time per token corrects it for others.
    """
    return sum(
        tokens + tokens * len(pair) // _ATTENTION_TOKENS
        for tokens, pair in zip(computed, batch, strict=True)
    )


def joined(works: Sequence[Work]) -> Work:
    """Return the work of pairs that were computed in several batches, in their order."""
    return Work(
        [tokens for work in works for tokens in work.computed],
        [tokens for work in works for tokens in work.saved],
        sum(work.prefix_hits for work in works),
        sum(work.prefix_misses for work in works),
    )


class BatchReport:
    """The batches since the last answer, which the next answer carries to the gateway."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, int, int]] = []  # pairs, tokens, microseconds
        self._prefix_hits = self._prefix_misses = 0

    def add(self, work: Work, took_ns: int) -> None:
        """Add a batch that was computed."""
        self._batches.append((len(work.computed), sum(work.computed), took_ns // 1000))
        self._prefix_hits += work.prefix_hits
        self._prefix_misses += work.prefix_misses

    def take(self) -> dict[str, Any]:
        """Return the report as fields of `Scores`, and empty it; no field without a batch."""
        if not self._batches:
            return {}
        pairs, tokens, micros = zip(*self._batches[:_MOST_BATCHES_REPORTED], strict=True)
        fields = {
            "batch_pairs": pairs,
            "batch_tokens": tokens,
            "batch_us": micros,
            "prefix_hits": self._prefix_hits,
            "prefix_misses": self._prefix_misses,
        }
        self._batches, self._prefix_hits, self._prefix_misses = [], 0, 0
        return fields
