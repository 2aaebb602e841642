"""Test collections of `gateway eval`: judged queries with candidates of a first stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.inputs import BadInput, Question
from gateway.cli.measure.judged import (
    JudgedQuery,
    read_judged,
    read_qrels,
    read_run,
    with_grades,
)
from gateway.cli.score.candidates import read_texts

Qrels = Mapping[str, Mapping[str, int]]
"""Grades by query and document."""


@dataclass(frozen=True, slots=True)
class CollectionFiles:
    """Files of queries, texts, judgements and candidates."""

    queries: str | None
    corpus: str | None
    qrels: str | None
    run: str | None
    candidates: tuple[str, ...]
    split: str = ""


def beir_files(folder: Path, split: str) -> CollectionFiles | None:
    """Return the files of a BEIR folder; `None` if it is none."""
    queries, corpus = folder / "queries.jsonl", folder / "corpus.jsonl"
    if not (queries.is_file() and corpus.is_file()):
        return None
    return CollectionFiles(
        str(queries), str(corpus), str(folder / "qrels" / f"{split}.tsv"), None, ()
    )


def read_collection(files: CollectionFiles, top_k: int, stem: str) -> list[JudgedQuery]:
    """Return the judged queries with their best candidates of the first stage.

    Raises:
        BadInput: a file or line cannot be read, or a text is missing.
    """
    qrels = read_qrels(files.qrels) if files.qrels else {}
    if files.candidates:
        found = read_judged(files.candidates, files.split)
        found = with_grades(found, qrels) if files.qrels else found
    elif files.run:
        assert files.queries and files.corpus
        found = read_run(files.run, files.queries, files.corpus, qrels)
        found += _without_candidates(files.queries, qrels, found)
    else:
        found = _candidates_by_bm25(files, qrels, top_k, stem)
    return [_cut(each, top_k) for each in found]


def bm25_orders(judged: Sequence[JudgedQuery], stem: str) -> dict[str, list[str]]:
    """Return the candidates of each query by BM25, with word counts over the candidates of all."""
    from gateway.cli.measure.evaluation.first_stage import Bm25

    texts = dict.fromkeys(document.text for each in judged for document in each.question.documents)
    position = {text: number for number, text in enumerate(texts)}
    index = Bm25(list(texts), stem)
    orders = {}
    for question in (each.question for each in judged):
        scores = index.scores(question.query)
        best = sorted(question.documents, key=lambda document: -scores[position[document.text]])
        orders[question.id] = [document.id for document in best]
    return orders


def _cut(judged: JudgedQuery, top_k: int) -> JudgedQuery:
    question = judged.question
    best = question.documents[:top_k]
    return JudgedQuery(Question(question.query, best, question.id), judged.grades)


def _without_candidates(
    queries: str, qrels: Qrels, found: Sequence[JudgedQuery]
) -> list[JudgedQuery]:
    """Return the judged queries that a run lacks: they count as 0, as in trec_eval -c."""
    missing = qrels.keys() - {each.question.id for each in found}
    texts = read_texts(queries, missing)
    return [JudgedQuery(Question(query.text, (), id), qrels[id]) for id, query in texts.items()]


def _candidates_by_bm25(
    files: CollectionFiles, qrels: Qrels, top_k: int, stem: str
) -> list[JudgedQuery]:
    """Return the judged queries with candidates that BM25 finds in the whole corpus."""
    from gateway.cli.measure.evaluation.first_stage import Bm25

    assert files.queries and files.corpus
    documents = list(read_texts(files.corpus).values())
    queries = read_texts(files.queries, qrels.keys())
    if not documents or not queries:
        raise BadInput(f"{files.corpus} is empty, or {files.queries} has no judged query")
    index = Bm25([document.text for document in documents], stem)
    found = []
    for id, query in queries.items():
        best = tuple(documents[number] for number in index.best(query.text, top_k))
        found.append(JudgedQuery(Question(query.text, best, id), qrels[id]))
    return found
