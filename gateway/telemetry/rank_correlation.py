"""Rank correlation: the agreement of two rankings of the same documents. Pure.

Each function takes two lists of scores of the same documents, in the same order: margins, relevance
scores, or any other numbers that are larger for better documents. The scales may differ. In a
ranking the first of equal documents is the one that comes first in the request, as in our replies.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

Scores = Sequence[float]


def kendall_tau(first: Scores, second: Scores) -> float | None:
    """Return Kendall's tau-b in [-1, 1]: the pairs of documents in the same order, less the others.

    Equal scores are ties, which count for neither side. `None` where it is undefined: fewer than
    two documents, or one side scores all of them the same. In n log n steps, after W. R. Knight,
    "A computer method for calculating Kendall's tau with ungrouped data" (1966).

    Raises:
        ValueError: the lists differ in length, or a score is not a number.
    """
    _check(first, second)
    both = sorted(zip(first, second, strict=True))
    pairs = len(both) * (len(both) - 1) // 2
    tied_first, tied_second, tied_both = map(_tied_pairs, (first, second, both))
    untied = math.sqrt(pairs - tied_first) * math.sqrt(pairs - tied_second)
    if not untied:
        return None
    _, swaps = _sorted([score for _, score in both])
    difference = pairs - tied_first - tied_second + tied_both - 2 * swaps
    return max(-1.0, min(1.0, difference / untied))


def spearman_rho(first: Scores, second: Scores) -> float | None:
    """Return Spearman's rank correlation in [-1, 1]; ties share the mean of their ranks.

    `None` where `kendall_tau` returns `None`. Raises the same.
    """
    _check(first, second)
    ranks, other_ranks = _ranks(first), _ranks(second)
    middle = (len(first) - 1) / 2
    spread = sum((rank - middle) ** 2 for rank in ranks)
    other_spread = sum((rank - middle) ** 2 for rank in other_ranks)
    if not spread or not other_spread:
        return None
    common = sum((a - middle) * (b - middle) for a, b in zip(ranks, other_ranks, strict=True))
    return common / (math.sqrt(spread) * math.sqrt(other_spread))


def top1(first: Scores, second: Scores) -> bool:
    """Return whether both have the same best document; true if there are no documents.

    Raises:
        ValueError: the lists differ in length, or a score is not a number.
    """
    return overlap_at_k(first, second, 1) == 1.0


def overlap_at_k(first: Scores, second: Scores, k: int) -> float:
    """Return the share, in [0, 1], of the best `k` documents of one that are the other's as well.

    With fewer than `k` documents it is the share of all, 1.0.

    Raises:
        ValueError: the lists differ in length, a score is not a number, or `k` is less than 1.
    """
    _check(first, second)
    if k < 1:
        raise ValueError(f"overlap needs at least 1 document, not {k}")
    common = set(order(first)[:k]) & set(order(second)[:k])
    return len(common) / min(k, len(first)) if first else 1.0


def order(scores: Scores) -> list[int]:
    """Return the indices best first, ties by index."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def _check(first: Scores, second: Scores) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} scores cannot be compared with {len(second)}")
    if any(map(math.isnan, first)) or any(map(math.isnan, second)):
        raise ValueError("a score that is not a number has no rank")


def _tied_pairs(values: Sequence[object]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(values).values())


def _sorted(values: Sequence[float]) -> tuple[list[float], int]:
    """Return the values in order, and the number of swaps of a bubble sort."""
    if len(values) < 2:
        return list(values), 0
    middle = len(values) // 2
    (left, swaps), (right, more) = _sorted(values[:middle]), _sorted(values[middle:])
    swaps += more
    merged, taken = [], 0
    for value in left:
        while taken < len(right) and right[taken] < value:
            merged.append(right[taken])
            taken += 1
        merged.append(value)
        swaps += taken
    return merged + right[taken:], swaps


def _ranks(scores: Scores) -> list[float]:
    ordered = sorted(scores)
    return [(bisect_left(ordered, x) + bisect_right(ordered, x) - 1) / 2 for x in scores]
