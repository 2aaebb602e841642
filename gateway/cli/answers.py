"""How `gateway rerank` prints: a table for people, JSON, JSON lines, TREC's run format.

A printer is told each answer as it comes, and when there are no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from gateway.cli.inputs import BadInput, Document, Question
from gateway.cli.say import console
from gateway.cli.spoken import DETAILS

TREC_TAG = "rerank-gateway"


@dataclass(frozen=True, slots=True)
class Ranked:
    """One result line."""

    index: int
    relevance_score: float
    document: Document
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it with the id, if there is one."""
        named = {"id": self.document.id} if self.document.id else {}
        score = {"relevance_score": self.relevance_score}
        return {
            "index": self.index,
            **named,
            **score,
            **self.details,
            "document": self.document.text,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with its best documents, or why there are none."""

    question: Question
    results: tuple[Ranked, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the whole answer as one object."""
        named = {"id": self.question.id} if self.question.id else {}
        said: dict[str, Any] = {**named, "query": self.question.query}
        if self.error:
            return {**said, "error": self.error}
        return {**said, "results": [one.as_json() for one in self.results]}


class Printer(Protocol):
    """One format."""

    def show(self, answer: Answer) -> None: ...

    def end(self) -> None: ...


class Lines:
    """JSON lines: one per request in a batch, else one per document."""

    def __init__(self, batch: bool) -> None:
        self._batch = batch

    def show(self, answer: Answer) -> None:
        lines = [answer.as_json()] if self._batch else [one.as_json() for one in answer.results]
        for line in lines:
            _print_json(line)

    def end(self) -> None:
        pass


class Whole:
    """One JSON document: a list of answers for a batch, else the answer."""

    def __init__(self, batch: bool) -> None:
        self._batch = batch
        self._answers: list[dict[str, Any]] = []

    def show(self, answer: Answer) -> None:
        self._answers.append(answer.as_json())

    def end(self) -> None:
        _print_json(self._answers if self._batch else self._answers[0])


class Trec:
    """TREC's run format; what has no id goes by its number: queries from 1, documents from 0."""

    def __init__(self, batch: bool) -> None:
        self._asked = 0

    def show(self, answer: Answer) -> None:
        self._asked += 1
        query = _word(answer.question.id or str(self._asked))
        for rank, one in enumerate(answer.results, 1):
            document = _word(one.document.id or str(one.index))
            click.echo(f"{query} Q0 {document} {rank} {one.relevance_score!r} {TREC_TAG}")

    def end(self) -> None:
        pass


class Table:
    """A table per request, for people."""

    def __init__(self, batch: bool) -> None:
        pass

    def show(self, answer: Answer) -> None:
        if not answer.error:
            _print_table(answer)

    def end(self) -> None:
        pass


PRINTERS: dict[str, type[Lines | Whole | Trec | Table]] = {
    "table": Table,
    "json": Whole,
    "jsonl": Lines,
    "trec": Trec,
}


def _print_json(value: object) -> None:
    import orjson

    click.echo(orjson.dumps(value).decode())


def _word(id: str) -> str:
    if len(id.split()) != 1:
        raise BadInput(f"the id {id!r} has spaces, which TREC's format cannot have: use jsonl")
    return id


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['start']}-{value['end']}"
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else str(value if value is not None else "")


def _print_table(answer: Answer) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=SIMPLE_HEAD, title=Text(answer.question.query), pad_edge=False)
    grid.title_justify = "left"
    grid.add_column("relevance_score", justify="right")
    grid.add_column("index", justify="right")
    told = [name for name in DETAILS if any(name in one.details for one in answer.results)]
    for name in told:
        grid.add_column(name, justify="right")
    grid.add_column("document", overflow="fold")
    for one in answer.results:
        details = [_in_words(one.details.get(name)) for name in told]
        text = Text(one.document.text)
        name = one.document.id or str(one.index)
        grid.add_row(f"{one.relevance_score:.6f}", name, *details, text)
    console().print(grid)
