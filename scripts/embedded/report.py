"""Figures of one or more rankers over all sets, as data, as a table and as Markdown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from .evaluation import (
    CANDIDATES,
    RESAMPLES,
    Figures,
    Ranker,
    Set,
    everyday_set,
    figures,
    retrieval_set,
    written_set,
)
from .sources import Pair

HELD_OUT = ("qed-nq", "pubmedqa", "php-en", "php-ru")
EVERYDAY = ("everyday", "everyday-hard")
CHOICE, CHOICE_RUSSIAN = (*HELD_OUT, "koziev-qa"), ("php-ru", "koziev-qa")
WRITTEN = ("written-en", "written-ru")


@dataclass(frozen=True)
class Line:
    """One ranker on one set; `queries` 0 marks the mean over the retrieval sets."""

    ranker: str
    set: str
    queries: int
    ndcg: float
    low: float
    high: float
    mrr: float
    top1: float


def held_out_sets(
    pairs: Sequence[Pair], candidates: int = CANDIDATES, queries: int | None = None
) -> list[Set]:
    """The four retrieval sets; `queries` takes an even sample of that many from each."""
    sets = [retrieval_set(name, pairs, "held_out", candidates) for name in HELD_OUT]
    return sets if queries is None else [sampled(held, queries) for held in sets]


def choice_sets(pairs: Sequence[Pair], queries: int | None = None) -> list[Set]:
    """Sets that decisions are made on: no training data, nothing that the card reports."""
    sets = [retrieval_set(name, pairs, "choice") for name in CHOICE]
    if queries is not None:
        sets = [sampled(held, queries) for held in sets]
    return [*sets, *(written_set(name, pairs) for name in WRITTEN)]


def sampled(held: Set, queries: int) -> Set:
    step = max(1, len(held.questions) // queries)
    chosen = held.questions[::step][:queries]
    return Set(held.name, held.language, chosen, held.collection)


def everyday_sets() -> list[Set]:
    return [everyday_set(language, name) for name in EVERYDAY for language in ("en", "ru")]


def lines_of(name: str, ranker: Ranker, sets: Sequence[Set]) -> list[Line]:
    """A line per set; if there are retrieval sets, a line for their mean at the end."""
    found = [figures(held, ranker(held)) for held in sets]
    lines = [
        Line(name, held.name, len(held.questions), f.ndcg, f.low, f.high, f.mrr, f.top1)
        for held, f in zip(sets, found, strict=True)
    ]
    main = [f for held, f in zip(sets, found, strict=True) if held.name in HELD_OUT]
    return [*lines, mean_line(name, main)] if len(main) > 1 else lines


def mean_line(name: str, found: Sequence[Figures]) -> Line:
    chance = np.random.default_rng(0)
    draws = np.zeros(RESAMPLES)
    for f in found:
        places = chance.integers(0, len(f.each), (RESAMPLES, len(f.each)))
        draws += f.each[places].mean(1) / len(found)
    low, high = (float(edge) for edge in np.percentile(draws, [2.5, 97.5]))
    means = [float(np.mean([getattr(f, what) for f in found])) for what in ("ndcg", "mrr", "top1")]
    return Line(name, "mean", 0, means[0], low, high, means[1], means[2])


def as_table(lines: Sequence[Line], title: str) -> Table:
    table = Table(title=title)
    for column in ("set", "ranker", "queries", "nDCG@10", "95 %", "MRR@10", "top-1"):
        table.add_column(column, justify="left" if column in ("set", "ranker") else "right")
    for line in in_order(lines):
        table.add_row(*cells(line))
    return table


def as_markdown(lines: Sequence[Line]) -> str:
    head = "| set | ranker | queries | nDCG@10 | 95 % interval | MRR@10 | top-1 |"
    rows = ["| " + " | ".join(cells(line)) + " |" for line in in_order(lines)]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def in_order(lines: Sequence[Line]) -> list[Line]:
    """Rankers of one set beside each other, sets in the order in which they first come."""
    sets = list(dict.fromkeys(line.set for line in lines))
    return sorted(lines, key=lambda line: sets.index(line.set))


def cells(line: Line) -> list[str]:
    queries = str(line.queries) if line.queries else ""
    interval = f"{line.low:.3f} - {line.high:.3f}"
    figures = [f"{line.ndcg:.3f}", interval, f"{line.mrr:.3f}", f"{line.top1:.3f}"]
    return [line.set, line.ranker, queries, *figures]


def to_data(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [asdict(line) for line in lines]


def from_data(data: Sequence[dict[str, Any]]) -> list[Line]:
    return [Line(**record) for record in data]
