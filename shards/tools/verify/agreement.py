"""The pairs on which two computations are compared, and how far these agree. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from shards.canary import KNOWN

DOCUMENTS = 4
"""Documents of each query."""

# Two correct computations of a margin differ by rounding: an absolute bound, and a share of the
# margin.
BOUNDS = {"fp32": (1e-3, 1e-3), "fp16": (0.05, 0.02), "bf16": (0.25, 0.05)}
LOOSEST = (0.5, 0.1)  # for all other number formats


@dataclass(frozen=True, slots=True)
class Question:
    """A query and its documents."""

    query: str
    documents: tuple[str, ...]


def questions(pairs: int) -> list[Question]:
    """Return about so many pairs in all languages: right documents, others, and long documents."""
    known = [canary for row in zip(*KNOWN.values(), strict=True) for canary in row]
    answers = [canary.right for canary in known]
    asked = []
    for at, canary in enumerate(islice(known, math.ceil(pairs / DOCUMENTS))):
        others = [answers[(at + step) % len(answers)] for step in (1, 7)]
        start = at % len(answers)
        long = " ".join((answers[start:] + answers[:start])[: 4 + at % 8])
        asked.append(Question(canary.query, (canary.right, *others, long)))
    return asked


@dataclass(frozen=True, slots=True)
class Agreement:
    """The degree to which margins agree.

    Attributes:
        pairs: the number of pairs that were compared.
        difference: the largest difference, absolute.
        spearman: the rank correlation over all pairs; 1 for the same order.
        top_1: the share of queries with the same best document.
        is_within: whether every difference is within the bound of the number format.
    """

    pairs: int
    difference: float
    spearman: float
    top_1: float
    is_within: bool


def agreement(ours: Sequence[float], theirs: Sequence[float], dtype: str) -> Agreement:
    """Compare margins, `DOCUMENTS` of each query in turn; `theirs` is the reference."""
    absolute, relative = BOUNDS.get(dtype, LOOSEST)
    both = list(zip(ours, theirs, strict=True))
    starts = range(0, len(both), DOCUMENTS)
    same = [
        _best(ours[start : start + DOCUMENTS]) == _best(theirs[start : start + DOCUMENTS])
        for start in starts
    ]
    return Agreement(
        pairs=len(both),
        difference=max(abs(our - their) for our, their in both),
        spearman=spearman(ours, theirs),
        top_1=fmean(same),
        is_within=all(abs(our - their) <= absolute + relative * abs(their) for our, their in both),
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the rank correlation; 0 if either list is constant. Ties share their mean rank."""
    ranks = _ranks(first), _ranks(second)
    mean = fmean(ranks[0])
    covariance = math.fsum((a - mean) * (b - mean) for a, b in zip(*ranks, strict=True))
    spreads = [math.fsum((rank - mean) ** 2 for rank in list_) for list_ in ranks]
    return covariance / math.sqrt(spreads[0] * spreads[1]) if all(spreads) else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(order)))}
    last = {value: place for place, value in enumerate(order)}
    return [(first[value] + last[value]) / 2 for value in values]


def _best(margins: Sequence[float]) -> int:
    return max(range(len(margins)), key=margins.__getitem__)
