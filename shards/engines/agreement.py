"""Do two number formats of one model say the same? Measured on known pairs, when a model is loaded.

int8 rounds weights and states, and how much that changes the order depends on the checkpoint: so it
is measured with the checkpoint that is served, and int8 serves only where the order is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from shards.canary import Pair, known_pairs
from shards.engines.base import Encoder
from shards.pairs import Batch

LEAST_SPEARMAN = 0.995

Score = Callable[[Batch], Sequence[float]]

_LANGUAGES = ("en", "ru", "zh")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a second list of margins follows a first one.

    Attributes:
        pairs: how many margins there are.
        spearman: the correlation of their ranks; 0 where one list has no order at all.
        queries, same_best: how many queries, and of how many the best document is the same.
        largest: the largest difference of two margins.
    """

    pairs: int
    spearman: float
    queries: int
    same_best: int
    largest: float

    @property
    def suffices(self) -> bool:
        return self.spearman >= LEAST_SPEARMAN and self.same_best == self.queries

    def __str__(self) -> str:
        return (
            f"Spearman {self.spearman:.4f} over {self.pairs} known pairs, the same best document "
            f"for {self.same_best} of {self.queries} queries, margins differ by at most "
            f"{self.largest:.3f}"
        )


def disagreement(found: Agreement) -> str:
    """Return why int8 does not serve, for messages."""
    return (
        f"int8 does not agree with bf16 ({found}; Spearman {LEAST_SPEARMAN} and the same best "
        "documents are needed)"
    )


def margins_of_known_pairs(encoder: Encoder, score: Score) -> list[float]:
    """Return a margin for each known pair, all scored in one batch."""
    pairs = [
        encoder.encode(known.query, [known.document], instruction="", max_document_tokens=0)[0]
        for known in _known()
    ]
    return list(score(pairs))


def how_many_known() -> int:
    """Return how many known pairs there are."""
    return len(_known())


def compare(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compare two formats by the margins that they gave the known pairs."""
    known = _known()
    ranges = [[at for at, _ in group] for _, group in groupby(enumerate(known), key=_query)]
    return Agreement(
        pairs=len(known),
        spearman=_correlation(_ranks(first), _ranks(second)),
        queries=len(ranges),
        same_best=sum(
            max(places, key=first.__getitem__) == max(places, key=second.__getitem__)
            for places in ranges
        ),
        largest=max(abs(one - other) for one, other in zip(first, second, strict=True)),
    )


def _known() -> Sequence[Pair]:
    return known_pairs(_LANGUAGES)


def _query(known: tuple[int, Pair]) -> str:
    return known[1].query


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    ranks = [0.0] * len(values)
    ordered = sorted(enumerate(values), key=itemgetter(1))
    first = 0
    for _, group in groupby(ordered, key=itemgetter(1)):
        places = [place for place, _ in group]
        for place in places:
            ranks[place] = first + (len(places) - 1) / 2
        first += len(places)
    return ranks


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    mean = (len(first) - 1) / 2  # of ranks, whatever is tied
    both = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    spread = sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second)
    return both / spread**0.5 if spread else 0.0
