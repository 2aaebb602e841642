"""Queries with candidates and judgements: what `eval`, `compare` and `calibrate` read.

JSON lines, in the shapes in which people keep labelled data:

- `{"query": ..., "documents": [...], "labels": [1, 0, ...]}`; the documents are strings or objects;
- `{"query": ..., "documents": [{"text": ..., "label": 1}, ...]}`;
- `{"query": ..., "positive": [...], "negative": [...]}`, also `pos` and `neg`;
- `{"query": ..., "document": ..., "label": 1}`: one pair a line, gathered by query.

A label is a grade, a whole number from 0 (not relevant) up, or true and false. Or else the files of
retrieval research: queries, a corpus, BEIR's or TREC's qrels, and perhaps a run (`candidates`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.candidates import read_candidates
from gateway.cli.inputs import BadInput, Document, Question, as_document, as_json, id_of, lines

LABELS = ("label", "relevance", "grade")
SIDES = ({"positive": 1, "negative": 0}, {"pos": 1, "neg": 0})
_PAIR = {"document", "text"}
_LIST = {"documents", *(side for sides in SIDES for side in sides)}
SHAPES = (
    '{"query": "...", "documents": [...], "labels": [1, 0, ...]}, '
    '{"query": "...", "positive": [...], "negative": [...]} or '
    '{"query": "...", "document": "...", "label": 1}'
)

Labelled = tuple[Document, int | None]
"""A document and its grade, if it has one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A query with its candidates, in the order of the first stage.

    Attributes:
        question: query and candidates; each has an id.
        grades: by document id: 0 is not relevant. Documents that are no candidates may be in it.
    """

    question: Question
    grades: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The grade of each candidate; `None` where nobody judged."""
        return tuple(self.grades.get(one.id) for one in self.question.documents)

    def labelled(self) -> "Judged":
        """Return it with those candidates only that have a label."""
        documents = tuple(one for one in self.question.documents if one.id in self.grades)
        return Judged(Question(self.question.query, documents, self.question.id), self.grades)


def read_judged(files: Sequence[str]) -> list[Judged]:
    """Return the queries of JSONL files, with labels where there are any.

    Queries and documents without an id get their place as one.

    Raises:
        BadInput: a file or line cannot be read.
    """
    gathered: dict[str | int, tuple[str, str, list[Labelled]]] = {}
    for number, (where, value) in enumerate(_objects(files)):
        is_pair = _PAIR & value.keys() and not _LIST & value.keys()
        key, id = (value["query"], "") if is_pair else (number, id_of(value))
        pairs = gathered.setdefault(key, (id, value["query"], []))[2]
        pairs.extend(_pairs(value, where))
    return [_judged(place, *one) for place, one in enumerate(gathered.values())]


def read_qrels(file: str) -> dict[str, dict[str, int]]:
    """Return grades by query and document, from `query-id document-id grade` or TREC's four columns.

    Raises:
        BadInput: a line has other columns, or its grade is no whole number.
    """
    grades: dict[str, dict[str, int]] = {}
    for where, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if columns[0] == "query-id":
            continue
        if len(columns) not in (3, 4):
            raise BadInput(
                f"{where}: a judgement is `query-id document-id grade` (BEIR) or "
                "`query-id 0 document-id grade` (TREC)"
            )
        grades.setdefault(columns[0], {})[columns[-2]] = _grade(columns[-1], where)
    return grades


def read_run(
    run: str, queries: str, corpus: str, grades: Mapping[str, Mapping[str, int]]
) -> list[Judged]:
    """Return the judged queries of a TREC run, their candidates best first.

    Raises:
        BadInput: a file or line cannot be read, or a text is missing.
    """
    scores = _run_scores(run)
    found = []
    for one in read_candidates([run], queries, corpus):
        best = sorted(one.documents, key=lambda each: -scores[one.id, each.id])
        if one.id in grades:
            found.append(Judged(Question(one.query, tuple(best), one.id), grades[one.id]))
    return found


def with_grades(judged: Iterable[Judged], grades: Mapping[str, Mapping[str, int]]) -> list[Judged]:
    """Return the queries that have grades, with them instead of their labels."""
    known = (one for one in judged if one.question.id in grades)
    return [Judged(one.question, grades[one.question.id]) for one in known]


def _objects(files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        for where, line in lines(file):
            value = as_json(line, where)
            if not isinstance(value, dict) or not isinstance(value.get("query"), str):
                raise BadInput(f"{where}: it has no query; a line is {SHAPES}")
            yield where, value


def _pairs(value: dict[str, Any], where: str) -> Iterator[Labelled]:
    """Yield the documents of a line, each with its label if it has one."""
    sided = next((sides for sides in SIDES if sides.keys() & value.keys()), None)
    if sided is not None:
        for side, label in sided.items():
            given = value.get(side, [])
            for document in given if isinstance(given, list) else [given]:
                yield as_document(document, where), label
        return
    if "documents" in value:
        yield from _listed(value, where)
        return
    document = value.get("document", value.get("text"))
    if document is None:
        raise BadInput(f"{where}: it has no document; a line is {SHAPES}")
    yield as_document(document, where), _label(value, where)


def _listed(value: dict[str, Any], where: str) -> Iterator[Labelled]:
    documents, labels = value["documents"], value.get("labels")
    if not isinstance(documents, list) or not documents:
        raise BadInput(f'{where}: "documents" must be a list with at least one document')
    if labels is not None and (not isinstance(labels, list) or len(labels) != len(documents)):
        raise BadInput(f'{where}: "labels" must be a list of {len(documents)}, one per document')
    for place, document in enumerate(documents):
        label = _grade(labels[place], where) if labels else _label(document, where)
        yield as_document(document, where), label


def _label(value: Any, where: str) -> int | None:
    found = [value[name] for name in LABELS if isinstance(value, dict) and name in value]
    return _grade(found[0], where) if found else None


def _grade(value: Any, where: str) -> int:
    try:
        grade = int(value)
        if float(value) == grade:
            return max(0, grade)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInput(
        f"{where}: the label {value!r} is no whole number from 0 up, and not true or false"
    )


def _judged(place: int, id: str, query: str, pairs: Sequence[Labelled]) -> Judged:
    named = [
        (Document(document.text, document.id or f"#{number}"), label)
        for number, (document, label) in enumerate(pairs)
    ]
    grades = {document.id: label for document, label in named if label is not None}
    question = Question(query, tuple(document for document, _ in named), id or f"#{place}")
    return Judged(question, grades)


def _run_scores(file: str) -> dict[tuple[str, str], float]:
    """Return the score of each line of a TREC run, by query and document; the best one counts."""
    scores: dict[tuple[str, str], float] = {}
    for where, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 5:
            raise BadInput(f"{where}: a run has `query-id Q0 document-id rank score tag` per line")
        try:
            score = float(columns[4])
        except ValueError:
            raise BadInput(f"{where}: the score {columns[4]!r} is no number") from None
        key = (columns[0], columns[2])
        scores[key] = max(score, scores.get(key, score))
    return scores
