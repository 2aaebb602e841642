"""Cascades of two models at each `keep`, computed from the whole ranking of each model. Pure.

A document's score does not depend on the other documents, so the order of a cascade follows from
the orders of its two models, and its time from the time of each for one document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.cli.measure.evaluation.figures import NDCG, Figure, Grades, Orders, measure

TOLERANCE = 0.005
"""The most of nDCG@10 that the recommended `keep` loses to the second model alone."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """The rankings of one model, and the seconds that it took for them."""

    orders: Orders
    seconds: float

    @property
    def seconds_per_document(self) -> float:
        """The mean time of a document; 0 without documents."""
        documents = sum(map(len, self.orders.values()))
        return self.seconds / documents if documents else 0.0


@dataclass(frozen=True, slots=True)
class KeepFigures:
    """Quality and time of a cascade at one `keep`.

    Attributes:
        keep: documents that the second model scores at most.
        ndcg: nDCG@10 of the cascade.
        less_second: its difference to the second model alone, query by query.
        time: its time, as a share of that of the second model alone.
    """

    keep: int
    ndcg: Figure
    less_second: Figure
    time: float


def keeps_up_to(most: int) -> Iterator[int]:
    """Yield 5, 10, 20, 50, 100, ... below the most candidates of a query."""
    step = 1
    while True:
        for factor in (5, 10, 20):
            if factor * step >= most:
                return
            yield factor * step
        step *= 10


def cascade_orders(first: Orders, second: Orders, keep: int) -> dict[str, Sequence[str]]:
    """Return the order of a cascade for each query that both models ranked."""
    return {
        query: _cascade_order(first[query], second[query], keep)
        for query in first
        if query in second
    }


def _cascade_order(first: Sequence[str], second: Sequence[str], keep: int) -> Sequence[str]:
    kept = set(first[:keep])
    return [*(document for document in second if document in kept), *first[keep:]]


def time_share(first: TimedRun, second: TimedRun, keep: int) -> float:
    """Return the time of a cascade over that of the second model alone.

    The second model alone scores a query with up to `keep` candidates.
    """
    cascade = alone = 0.0
    for order in second.orders.values():
        of_second = second.seconds_per_document * len(order)
        of_both = first.seconds_per_document * len(order) + second.seconds_per_document * keep
        alone += of_second
        cascade += of_second if len(order) <= keep else of_both
    return cascade / alone if alone else 0.0


def sweep(first: TimedRun, second: TimedRun, grades: Grades, *, seed: int) -> list[KeepFigures]:
    """Return the figures of each `keep` below the most candidates.

    Raises:
        ValueError: no query has a relevant document.
    """
    keeps = list(keeps_up_to(max(map(len, second.orders.values()), default=0)))
    rankings: Mapping[str, Orders] = {
        "second": second.orders,
        **{str(keep): cascade_orders(first.orders, second.orders, keep) for keep in keeps},
    }
    found = measure(rankings, grades, (), seed=seed)
    return [
        KeepFigures(
            keep,
            found[str(keep)].measures[NDCG],
            found[str(keep)].gains[NDCG],
            time_share(first, second, keep),
        )
        for keep in keeps
    ]


def recommended(figures: Sequence[KeepFigures]) -> int | None:
    """Return the least `keep` that loses no more than `TOLERANCE` on average; None if all do."""
    good = (each.keep for each in figures if each.less_second.mean >= -TOLERANCE)
    return next(good, None)
