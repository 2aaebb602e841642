"""Output formats of `gateway rerank`: a table, JSON, JSON lines, and the run format of TREC.

A printer gets each answer as it comes, and a call at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from gateway.cli.console import print_json, print_table
from gateway.cli.inputs import BadInput, Document, Question
from gateway.cli.score.client_apis import DETAILS
from gateway.cli.score.trec_order import falling
from gateway.cli.table import Column, Row, Table

TREC_TAG = "rerank-gateway"


@dataclass(frozen=True, slots=True)
class Result:
    """One document with its score, and its index in the input."""

    index: int
    relevance_score: float
    document: Document
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the result as an object, with the id of the document if there is one."""
        named = {"id": self.document.id} if self.document.id else {}
        score = {"relevance_score": self.relevance_score}
        text = {"document": self.document.text}
        return {"index": self.index, **named, **score, **self.details, **text}


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with its best documents, or the reason why there are none."""

    question: Question
    results: tuple[Result, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the whole answer as one object."""
        named = {"id": self.question.id} if self.question.id else {}
        head: dict[str, Any] = {**named, "query": self.question.query}
        if self.error:
            return {**head, "error": self.error}
        return {**head, "results": [result.as_json() for result in self.results]}


class Printer(Protocol):
    """Prints answers in one format."""

    def show(self, answer: Answer) -> None: ...

    def end(self) -> None: ...


class JsonLinesPrinter:
    """JSON lines: one per request in a batch, else one per document."""

    def __init__(self, batch: bool) -> None:
        self._batch = batch

    def show(self, answer: Answer) -> None:
        if self._batch:
            print_json(answer.as_json())
            return
        for result in answer.results:
            print_json(result.as_json())

    def end(self) -> None:
        pass


class JsonPrinter:
    """One JSON document: a list of answers for a batch, printed as they come, else the answer."""

    def __init__(self, batch: bool) -> None:
        self._batch = batch
        self._before = "["

    def show(self, answer: Answer) -> None:
        if self._batch:
            click.echo(self._before, nl=False)
            self._before = ","
        print_json(answer.as_json())

    def end(self) -> None:
        if self._batch:
            click.echo("]" if self._before == "," else "[]")


class TrecPrinter:
    """TREC's run format; queries without an id are numbered from 1, documents from 0.

    The scores are such that trec_eval, which reads them in single precision and has an order of its
    own for ties, keeps the order of the gateway. The tag has the margin, or else the whole score.
    """

    def __init__(self, batch: bool) -> None:
        self._queries = 0

    def show(self, answer: Answer) -> None:
        self._queries += 1
        query = _trec_id(answer.question.id or str(self._queries))
        scores = falling(result.relevance_score for result in answer.results)
        ranked = enumerate(zip(answer.results, scores, strict=True), 1)
        for rank, (result, score) in ranked:
            document = _trec_id(result.document.id or str(result.index))
            click.echo(f"{query} Q0 {document} {rank} {score:.9g} {_trec_tag(result)}")

    def end(self) -> None:
        pass


class TablePrinter:
    """A table per request."""

    def __init__(self, batch: bool) -> None:
        pass

    def show(self, answer: Answer) -> None:
        if not answer.error:
            _print_table(answer)

    def end(self) -> None:
        pass


PRINTERS: dict[str, type[JsonLinesPrinter | JsonPrinter | TrecPrinter | TablePrinter]] = {
    "table": TablePrinter,
    "json": JsonPrinter,
    "jsonl": JsonLinesPrinter,
    "trec": TrecPrinter,
}


def _trec_tag(result: Result) -> str:
    if "margin" in result.details:
        return f"{TREC_TAG}:margin={result.details['margin']!r}"
    return f"{TREC_TAG}:score={result.relevance_score!r}"


def _trec_id(id: str) -> str:
    if len(id.split()) != 1:
        raise BadInput(f"the id {id!r} has spaces, which TREC's format does not allow: use jsonl")
    return id


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['start']}-{value['end']}"
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else str(value if value is not None else "")


def _print_table(answer: Answer) -> None:
    shown = [name for name in DETAILS if any(name in each.details for each in answer.results)]
    numbers = (Column(title, right=True) for title in ("relevance_score", "index", *shown))
    rows: list[Row] = [
        {
            "relevance_score": f"{result.relevance_score:.6f}",
            "index": result.document.id or str(result.index),
            **{name: _cell(result.details.get(name)) for name in shown},
            "document": result.document.text,
        }
        for result in answer.results
    ]
    columns = (*numbers, Column("document", prose=True))
    print_table(Table(columns, rows, title=answer.question.query))
