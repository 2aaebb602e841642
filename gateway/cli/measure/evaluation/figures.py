"""nDCG@10, MRR@10 and recall of rankings, by ir-measures (the implementation of trec_eval).

A ranking is passed as ranks, not as scores: trec_eval would break ties by document id, and read
scores in single precision. nDCG has linear gains; MRR and recall count grades from 1 on as
relevant. A document without a judgement is not relevant.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.cli.measure.evaluation.bootstrap import intervals

Grades = Mapping[str, Mapping[str, int]]
"""Grades by query and document: 0 is not relevant, higher is better."""

Orders = Mapping[str, Sequence[str]]
"""Document ids by query, best first."""

NDCG, MRR = "nDCG@10", "MRR@10"


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over queries, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one ranking by name, and their differences to the first ranking."""

    measures: Mapping[str, Figure]
    gains: Mapping[str, Figure] = field(default_factory=dict)


def measure(
    rankings: Mapping[str, Orders], grades: Grades, recall: Sequence[int], *, seed: int
) -> dict[str, Quality]:
    """Return the quality of rankings of the same queries; gains are over the first of them.

    Args:
        rankings: rankings by name; queries without a relevant document are left out.
        grades: judgements.
        recall: cut-offs of recall.
        seed: seed of the bootstrap.

    Raises:
        ValueError: no query has a relevant document.
    """
    queries = [query for query, judged in grades.items() if max(judged.values(), default=0) > 0]
    tables = {name: _table(orders, grades, queries, recall) for name, orders in rankings.items()}
    first = next(iter(tables.values()))
    columns = {
        (name, title, is_gain): _minus(column, first[title]) if is_gain else column
        for name, table in tables.items()
        for title, column in table.items()
        for is_gain in ((False, True) if table is not first else (False,))
    }
    spans = dict(zip(columns, intervals(list(columns.values()), seed=seed), strict=True))
    figures = {key: Figure(_mean(columns[key]), *spans[key]) for key in columns}
    return {
        name: Quality(
            {title: figures[name, title, False] for title in table},
            {title: figures[name, title, True] for title in table if table is not first},
        )
        for name, table in tables.items()
    }


def _table(
    orders: Orders, grades: Grades, queries: Sequence[str], recall: Iterable[int]
) -> dict[str, list[float]]:
    """Return each measure of each query; 0 where no document was found."""
    import ir_measures
    from ir_measures import RR, Qrel, R, ScoredDoc, nDCG

    measures = {nDCG @ 10: NDCG, RR @ 10: MRR, **{R @ k: f"recall@{k}" for k in recall}}
    qrels = [
        Qrel(query, document, grade)
        for query in queries
        for document, grade in grades[query].items()
    ]
    run = [
        ScoredDoc(query, document, -float(rank))
        for query in queries
        for rank, document in enumerate(orders.get(query, ()))
    ]
    row = {query: number for number, query in enumerate(queries)}
    table = {name: [0.0] * len(queries) for name in measures.values()}
    for found in ir_measures.iter_calc(list(measures), qrels, run):
        table[measures[found.measure]][row[found.query_id]] = found.value
    return table


def _minus(column: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(column, other, strict=True)]


def _mean(column: Sequence[float]) -> float:
    return sum(column) / len(column)
