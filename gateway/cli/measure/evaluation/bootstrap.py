"""Confidence intervals of means over queries, by percentile bootstrap. Pure; a seed fixes the draw.

All columns are resampled with the same queries, so that the interval of a difference between two
rankings is that of paired queries, which is much narrower than two separate intervals suggest.
"""

import random
from collections.abc import Sequence

RESAMPLES = 1000
CONFIDENCE = 0.95


def intervals(
    columns: Sequence[Sequence[float]], *, seed: int, resamples: int = RESAMPLES
) -> list[tuple[float, float]]:
    """Return the 95 % interval of the mean of each column; a row is a query.

    Raises:
        ValueError: the columns are empty, or differ in length.
    """
    count = len(columns[0]) if columns else 0
    if not count or any(len(column) != count for column in columns):
        raise ValueError("each column needs a figure for each query, and there must be a query")
    rng = random.Random(seed)
    means: list[list[float]] = [[] for _ in columns]
    for _ in range(resamples):
        drawn = rng.choices(range(count), k=count)
        for column, found in zip(columns, means, strict=True):
            found.append(sum(map(column.__getitem__, drawn)) / count)
    return [_middle(sorted(found)) for found in means]


def _middle(ordered: Sequence[float]) -> tuple[float, float]:
    left_out = int((1 - CONFIDENCE) / 2 * len(ordered))
    return ordered[left_out], ordered[-1 - left_out]
