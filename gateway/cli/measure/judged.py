"""Queries with candidates and judgements: the input of `eval`, `compare` and `calibrate`.

JSON lines, in the common shapes of labelled data:

- `{"query": ..., "documents": [...], "labels": [1, 0, ...]}`; the documents are strings or objects;
- `{"query": ..., "documents": [{"text": ..., "label": 1}, ...]}`;
- `{"query": ..., "positive": [...], "negative": [...]}`, also `pos` and `neg`;
- `{"query": ..., "document": ..., "label": 1}`: one pair a line, gathered by query.

Rows of Hugging Face `datasets` have the same keys as columns (`dataset_rows`).

A label is a grade, a whole number from 0 (not relevant) up, or true and false. The other input are
files of retrieval research: queries, a corpus, qrels of BEIR or TREC, and perhaps a run
(`candidates`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.inputs import BadInput, Document, Question, as_document, as_json, id_of, lines
from gateway.cli.measure.dataset_rows import dataset_rows, is_dataset
from gateway.cli.score.candidates import read_candidates
from gateway.cli.score.trec_order import order_of

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
"""A document and its grade, if there is one."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with its candidates, in the order of the first stage.

    Attributes:
        question: query and candidates, all with an id.
        grades: grades by document id, 0 for not relevant; also of documents that are no candidates.
    """

    question: Question
    grades: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The grade of each candidate; None for a candidate without a judgement."""
        return tuple(self.grades.get(document.id) for document in self.question.documents)

    def labelled(self) -> "JudgedQuery":
        """Return the query with those candidates only that have a label."""
        documents = tuple(
            document for document in self.question.documents if document.id in self.grades
        )
        return JudgedQuery(Question(self.question.query, documents, self.question.id), self.grades)


def read_judged(files: Sequence[str], split: str = "") -> list[JudgedQuery]:
    """Return the queries of JSONL files and of `datasets`, with their labels.

    `split` is that of folders of `datasets`. Queries and documents without an id get their position
    as id.

    Raises:
        BadInput: a file or line cannot be read.
    """
    gathered: dict[str | int, tuple[str, str, list[Labelled]]] = {}
    for number, (place, value) in enumerate(_objects(files, split)):
        is_pair = _PAIR & value.keys() and not _LIST & value.keys()
        key, id = (value["query"], "") if is_pair else (number, id_of(value))
        pairs = gathered.setdefault(key, (id, value["query"], []))[2]
        pairs.extend(_pairs(value, place))
    return [_judged(position, *each) for position, each in enumerate(gathered.values())]


def read_qrels(file: str) -> dict[str, dict[str, int]]:
    """Return grades by query and document, from BEIR's three columns or TREC's four.

    Raises:
        BadInput: a line has other columns, or a grade is no whole number.
    """
    grades: dict[str, dict[str, int]] = {}
    for place, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if columns[0] == "query-id":
            continue
        if len(columns) not in (3, 4):
            raise BadInput(
                f"{place}: a judgement is `query-id document-id grade` (BEIR) or "
                "`query-id 0 document-id grade` (TREC)"
            )
        grades.setdefault(columns[0], {})[columns[-2]] = _grade(columns[-1], place)
    return grades


def read_run(
    run: str, queries: str, corpus: str, grades: Mapping[str, Mapping[str, int]]
) -> list[JudgedQuery]:
    """Return the judged queries of a TREC run, their candidates in the order of trec_eval.

    Raises:
        BadInput: a file or line cannot be read, or a text is missing.
    """
    scores = _run_scores(run)
    found = []
    for question in read_candidates([run], queries, corpus):
        id, documents = question.id, question.documents
        if id in grades:
            best = sorted(documents, key=lambda each: order_of(scores[id, each.id], each.id))
            found.append(JudgedQuery(Question(question.query, tuple(best), id), grades[id]))
    return found


def with_grades(
    judged: Iterable[JudgedQuery], grades: Mapping[str, Mapping[str, int]]
) -> list[JudgedQuery]:
    """Return the queries that have grades, with these instead of their labels."""
    questions = (each.question for each in judged)
    return [
        JudgedQuery(question, grades[question.id])
        for question in questions
        if question.id in grades
    ]


def _objects(files: Sequence[str], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        for place, value in dataset_rows(file, split) if is_dataset(file) else _json_lines(file):
            if not isinstance(value, dict) or not isinstance(value.get("query"), str):
                raise BadInput(f"{place}: it has no query; a line is {SHAPES}")
            yield place, value


def _json_lines(file: str) -> Iterator[tuple[str, Any]]:
    for place, line in lines(file):
        yield place, as_json(line, place)


def _pairs(value: dict[str, Any], place: str) -> Iterator[Labelled]:
    """Yield the documents of a line, each with its label if there is one."""
    sided = next((sides for sides in SIDES if sides.keys() & value.keys()), None)
    if sided is not None:
        for side, label in sided.items():
            given = value.get(side, [])
            for document in given if isinstance(given, list) else [given]:
                yield as_document(document, place), label
        return
    if "documents" in value:
        yield from _listed(value, place)
        return
    document = value.get("document", value.get("text"))
    if document is None:
        raise BadInput(f"{place}: it has no document; a line is {SHAPES}")
    yield as_document(document, place), _label(value, place)


def _listed(value: dict[str, Any], place: str) -> Iterator[Labelled]:
    documents, labels = value["documents"], value.get("labels")
    if not isinstance(documents, list) or not documents:
        raise BadInput(f'{place}: "documents" must be a list with at least one document')
    if labels is not None and (not isinstance(labels, list) or len(labels) != len(documents)):
        raise BadInput(f'{place}: "labels" must be a list of {len(documents)}, one per document')
    for position, document in enumerate(documents):
        label = _grade(labels[position], place) if labels else _label(document, place)
        yield as_document(document, place), label


def _label(value: Any, place: str) -> int | None:
    found = [value[name] for name in LABELS if isinstance(value, dict) and name in value]
    return _grade(found[0], place) if found else None


def _grade(value: Any, place: str) -> int:
    try:
        grade = int(value)
        if float(value) == grade:
            return max(0, grade)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInput(
        f"{place}: the label {value!r} is no whole number from 0 up, and not true or false"
    )


def _judged(position: int, id: str, query: str, pairs: Sequence[Labelled]) -> JudgedQuery:
    named = [
        (Document(document.text, document.id or f"#{number}"), label)
        for number, (document, label) in enumerate(pairs)
    ]
    grades = {document.id: label for document, label in named if label is not None}
    question = Question(query, tuple(document for document, _ in named), id or f"#{position}")
    return JudgedQuery(question, grades)


def _run_scores(file: str) -> dict[tuple[str, str], float]:
    """Return the scores of a TREC run by query and document; the best of several lines counts."""
    scores: dict[tuple[str, str], float] = {}
    for place, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 5:
            raise BadInput(f"{place}: a run has `query-id Q0 document-id rank score tag` per line")
        try:
            score = float(columns[4])
        except ValueError:
            score = math.nan
        if math.isnan(score):
            raise BadInput(f"{place}: the score {columns[4]!r} is no number")
        key = (columns[0], columns[2])
        scores[key] = max(score, scores.get(key, score))
    return scores
