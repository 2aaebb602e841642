"""The order in which trec_eval reads a run, and scores that it reads in a given order. Pure.

trec_eval and the tools made from it sort a run anew: by score in single precision, best first, and
equal scores by the bytes of the document's id, from the end of the alphabet to its beginning.
"""

import struct
from collections.abc import Iterable, Iterator

_STEP = 2.0**-23  # of a number in single precision, relative to it
_LEAST_STEP = 1e-12
_LEAST = 2.0**-126  # of the numbers that no processor takes for 0


def single(score: float) -> float:
    """Return a score in single precision; infinite beyond its range."""
    try:
        (rounded,) = struct.unpack("f", struct.pack("f", score))
    except OverflowError:
        return float("inf") if score > 0 else float("-inf")
    return float(rounded)


def falling(scores: Iterable[float]) -> Iterator[float]:
    """Yield scores in single precision, each below the one before, as near as that allows.

    Args:
        scores: the scores of a ranking, best first; equal ones are in the order of the ranking.
    """
    before = float("inf")
    for score in scores:
        rounded = single(score) if abs(score) >= _LEAST else 0.0
        if rounded >= before:
            rounded = single(before - max(abs(before) * _STEP, _LEAST_STEP))
        yield rounded
        before = rounded


def order_of(score: float, id: str) -> tuple[float, tuple[int, ...]]:
    """Return the key by which trec_eval sorts the documents of a query."""
    return -single(score), tuple(-byte for byte in (*id.encode(), -1))
