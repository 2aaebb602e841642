"""Calibration error of scores. Pure.

Scores are calibrated if, of the pairs with scores about 0.7, about 70 % are relevant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10
_SMALLEST = 1e-15


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose scores lie in one tenth of [0, 1].

    Attributes:
        pairs: number of pairs.
        score: mean score.
        relevant: share of relevant pairs.
    """

    pairs: int
    score: float
    relevant: float


def bins(scores: Sequence[float], labels: Sequence[bool]) -> list[Bin]:
    """Return the tenths of [0, 1] that have pairs, from 0 up."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for score, label in zip(scores, labels, strict=True):
        found.setdefault(min(BINS - 1, int(score * BINS)), []).append((score, label))
    return [
        Bin(
            len(pairs),
            sum(score for score, _ in pairs) / len(pairs),
            sum(label for _, label in pairs) / len(pairs),
        )
        for _, pairs in sorted(found.items())
    ]


def calibration_error(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the expected calibration error (ECE) in [0, 1], over ten bins of equal width."""
    return sum(
        each.pairs / len(scores) * abs(each.score - each.relevant) for each in bins(scores, labels)
    )


def log_loss(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the mean negative log-likelihood of the labels, in nats."""
    total = 0.0
    for score, label in zip(scores, labels, strict=True):
        total -= math.log(max(_SMALLEST, score if label else 1 - score))
    return total / len(scores)
