"""Candidate files in the formats of TREC, BEIR and MS MARCO."""

from pathlib import Path

import pytest

from gateway.cli.inputs import BadInput, Document, Question
from gateway.cli.score.candidates import read_candidates, read_top_lists

QUERIES = (
    '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n{"_id": "q3", "text": "x"}\n'
)
CORPUS = (
    '{"_id": "d1", "title": "One", "text": "text one", "metadata": {}}\n'
    '{"_id": "d2", "title": "", "text": "text two"}\n'
    '{"_id": "d3", "text": "text three"}\n'
    '{"_id": "d4", "text": "no query has it"}\n'
)
RUN = """q2 Q0 d3 1 12.5 bm25
q2 Q0 d1 2 11.5 bm25
q1\tQ0\td2\t1\t9.5\tbm25
q2 Q0 d3 3 1.5 bm25
"""
QRELS = "query-id\tcorpus-id\tscore\nq2\td3\t1\nq2\td1\t0\nq1\td2\t1\n"
EXPECTED = [
    Question("second", (Document("text three", "d3"), Document("One\ntext one", "d1")), "q2"),
    Question("first", (Document("text two", "d2"),), "q1"),
]


def write(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("content", [RUN, QRELS])
def test_runs_and_qrels(tmp_path: Path, content: str) -> None:
    queries = write(tmp_path, "queries.jsonl", QUERIES)
    corpus = write(tmp_path, "corpus.jsonl", CORPUS)
    candidates = write(tmp_path, "candidates", content)
    assert read_candidates([candidates], queries, corpus) == EXPECTED


def test_texts_in_columns(tmp_path: Path) -> None:
    queries = write(tmp_path, "queries.tsv", "q1\tfirst\nq2\tsecond\n")
    corpus = write(tmp_path, "corpus.tsv", "d1\tOne\ttext\nd2\ttwo\nd3\tthree\n")
    candidates = write(tmp_path, "run", "q1 Q0 d1 1 1 x\n")
    assert read_candidates([candidates], queries, corpus) == [
        Question("first", (Document("One\ttext", "d1"),), "q1")
    ]


@pytest.mark.parametrize(
    ("run", "corpus", "message"),
    [
        ("q9 Q0 d1 1 1 x", CORPUS, "run, line 1: query 'q9' is not in .*queries.jsonl"),
        ("q1 Q0 d1 1 1 x\nq1 Q0 d9 1 1 x", CORPUS, "run, line 2: document 'd9' is not in .*corpus"),
        ("q1", CORPUS, "run, line 1: a candidate is"),
        ("q1 Q0 d1 1 1 x", '{"text": "no id"}', 'corpus.jsonl, line 1: it has no "_id"'),
        ("q1 Q0 d1 1 1 x", '{"_id": "d1"}', 'corpus.jsonl, line 1: .*"text" string'),
    ],
)
def test_a_missing_text_is_named(tmp_path: Path, run: str, corpus: str, message: str) -> None:
    files = [
        write(tmp_path, "run", run),
        write(tmp_path, "queries.jsonl", QUERIES),
        write(tmp_path, "corpus.jsonl", corpus),
    ]
    with pytest.raises(BadInput, match=message):
        read_candidates([files[0]], files[1], files[2])


def test_top_lists(tmp_path: Path) -> None:
    file = write(
        tmp_path, "top.tsv", "1\t7\tfirst\tone\n1\t8\tfirst\ttwo\tmore\n2\t7\tsecond\tone\n"
    )
    assert list(read_top_lists([file])) == [
        Question("first", (Document("one", "7"), Document("two\tmore", "8")), "1"),
        Question("second", (Document("one", "7"),), "2"),
    ]
    with pytest.raises(BadInput, match=r"bad\.tsv, line 1: .*--queries"):
        list(read_top_lists([write(tmp_path, "bad.tsv", "1\t7\tfirst")]))
