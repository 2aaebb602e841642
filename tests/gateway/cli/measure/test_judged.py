"""Labelled data in its common shapes."""

from pathlib import Path

import pytest

from gateway.cli.inputs import BadInput, Document
from gateway.cli.measure.judged import JudgedQuery, read_judged, read_qrels, read_run, with_grades

DOCUMENTS = (Document("yes", "#0"), Document("no", "#1"))


def read(folder: Path, *lines: str) -> list[JudgedQuery]:
    (folder / "file.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return read_judged([str(folder / "file.jsonl")])


SHAPES = [
    ['{"query": "q", "documents": ["yes", "no"], "labels": [1, 0]}'],
    [
        '{"query": "q", "documents": '
        '[{"text": "yes", "label": true}, {"text": "no", "label": false}]}'
    ],
    [
        '{"query": "q", "documents": '
        '[{"text": "yes", "grade": 1}, {"text": "no", "relevance": 0.0}]}'
    ],
    ['{"query": "q", "positive": ["yes"], "negative": ["no"]}'],
    ['{"query": "q", "pos": "yes", "neg": ["no"]}'],
    [
        '{"query": "q", "document": "yes", "label": 1}',
        '{"query": "q", "text": "no", "label": 0}',
    ],
]


@pytest.mark.parametrize("lines", SHAPES)
def test_all_shapes_give_the_same_query(tmp_path: Path, lines: list[str]) -> None:
    (found,) = read(tmp_path, *lines)
    assert found.question.documents == DOCUMENTS
    assert found.question.query == "q"
    assert found.labels == (1, 0)


def test_labels_may_be_missing_and_ids_are_kept(tmp_path: Path) -> None:
    first, second = read(
        tmp_path,
        '{"id": "a", "query": "q", "documents": [{"id": "d", "text": "yes"}, "no"]}',
        '{"query": "q", "documents": [{"id": "d", "text": "yes", "label": 3}, "no"]}',
    )
    assert (first.question.id, first.labels) == ("a", (None, None))
    assert (second.question.id, second.labels) == ("#1", (3, None))
    (graded,) = with_grades([first, second], {"a": {"d": 2, "other": 1}})
    assert graded.labels == (2, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"documents": ["x"]}', "line 1: it has no query"),
        ('{"query": "q"}', "it has no document; a line is"),
        ('{"query": "q", "documents": []}', "at least one document"),
        ('{"query": "q", "documents": ["a"], "labels": [1, 0]}', "a list of 1, one per document"),
        ('{"query": "q", "documents": ["a"], "labels": [0.5]}', "0.5 is no whole number"),
        ('{"query": "q", "document": "a", "label": "high"}', "'high' is no whole number"),
        ('{"query": "q", "positive": [7]}', 'an object with a "text" string'),
    ],
)
def test_an_error_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(tmp_path, line)


def test_qrels_of_both_kinds(tmp_path: Path) -> None:
    beir, trec = tmp_path / "beir.tsv", tmp_path / "trec.txt"
    beir.write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    trec.write_text("q1 0 d1 2\nq1 0 d2 -1\n")
    assert read_qrels(str(beir)) == read_qrels(str(trec)) == {"q1": {"d1": 2, "d2": 0}}
    beir.write_text("q1\td1\thigh\n")
    with pytest.raises(BadInput, match=r"beir\.tsv, line 1: the label 'high'"):
        read_qrels(str(beir))
    beir.write_text("q1 d1\n")
    with pytest.raises(BadInput, match="a judgement is"):
        read_qrels(str(beir))


def test_a_run_is_in_the_order_of_its_scores(tmp_path: Path) -> None:
    for name, text in {
        "queries.tsv": "q1\tfirst\nq2\tsecond",
        "corpus.tsv": "d1\tone\nd2\ttwo",
        "run": "q1 Q0 d1 2 1.5 x\nq2 Q0 d1 1 1 x\nq1 Q0 d2 1 2.5 x",
        "bad": "q1 Q0 d1 1 high x",
        "short": "q1 Q0 d1",
    }.items():
        (tmp_path / name).write_text(text)
    texts = (str(tmp_path / "queries.tsv"), str(tmp_path / "corpus.tsv"))
    (found,) = read_run(str(tmp_path / "run"), *texts, {"q1": {"d1": 1}})  # q2 was not judged
    assert [document.id for document in found.question.documents] == ["d2", "d1"]
    assert found.labels == (None, 1)
    for name, words in (("bad", "'high' is no number"), ("short", "a run has")):
        with pytest.raises(BadInput, match=words):
            read_run(str(tmp_path / name), *texts, {})
