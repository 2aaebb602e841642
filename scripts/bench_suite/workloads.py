"""Requests for every contestant: the same ones, round by round. Pure.

A step is one timed request. Its documents are always new. A `repeated` step has the query of the
step before, so that a server may use its kept prefix, and documents of the same lengths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from gateway.cli.bench.workloads import Request, requests

REPEATED = ", repeated query"


@dataclass(frozen=True, slots=True)
class Step:
    """One request that is timed, and the workload it counts for."""

    workload: str
    asked: Request


def steps(workloads: Sequence[str], number: int, *, repeats: bool = True) -> list[Step]:
    """Return the steps of one round, the same for every contestant.

    Args:
        number: of the round.
        repeats: True if each query is sent again with other documents.
    """
    return [
        step
        for workload in workloads
        for step in _of_workload(workload, number, times=_TIMES.get(workload, 1), repeats=repeats)
    ]


_TIMES = {"short3": 3}


def _of_workload(workload: str, number: int, *, times: int, repeats: bool) -> Iterator[Step]:
    source = _requests(workload, seed=1000 + number)
    for first, again in islice(zip(source, source, strict=False), times):
        yield Step(workload, first)
        if repeats:
            documents = _as_long(again.documents, first.documents)
            yield Step(workload + REPEATED, Request(first.query, documents))


def _as_long(documents: Sequence[str], as_these: Sequence[str]) -> tuple[str, ...]:
    """Return documents from the words of `documents`, each as long as its counterpart."""
    words = cycle(" ".join(documents).split())
    return tuple(" ".join(islice(words, len(one.split()))) for one in as_these)


def _requests(workload: str, seed: int) -> Iterator[Request]:
    if workload != "rag40":
        yield from requests(workload, seed)
    source = requests("rag20", seed)
    for first, second in zip(source, source, strict=False):
        yield Request(first.query, first.documents + second.documents)


def known() -> Request:
    """Return the request on which all contestants must agree: three sentences and five passages."""
    short, long = next(requests("short3", 1)), next(requests("rag20", 1))
    return Request(short.query, short.documents + long.documents[:5])


def waking() -> Request:
    """Return the short, untimed request that wakes a stopped server."""
    return next(requests("short3", 3))


def passages(count: int, most_words: int = 10_000) -> Request:
    """Return a request with this many passages; their lengths do not depend on the number."""
    ten = next(requests("rag20", 2))
    lengths = [min(most_words, len(document.split())) for document in ten.documents[:10]]
    words = " ".join(ten.documents).split()
    documents = tuple(
        " ".join(islice(_from(words, at), lengths[at % len(lengths)])) for at in range(count)
    )
    return Request(ten.query, documents)


def _from(words: Sequence[str], at: int) -> Iterator[str]:
    """Yield words from a place that is another for each document, with a stride of its own."""
    stride = 1 + at % 97
    return (words[(at * 31 + number * stride) % len(words)] for number in range(10_000))
