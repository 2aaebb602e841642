"""`gateway eval`, against figures computed here from the fake engine's margins."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from shards.engines.fake import margin
from tests.gateway.cli.conftest import gateway

LOCAL = ("demo=fake", "--engine", "fake", "--device", "cpu:0")

TEXTS = {
    "d1": "red apples grow on trees",
    "d2": "green pears grow as well",
    "d3": "apples and pears are fruit",
    "d4": "a train leaves at noon",
    "d5": "stations have trains and apples",
}
QUERIES = {"q1": "red apples", "q2": "noon train"}
GRADES = {"q1": {"d1": 2, "d3": 1, "d4": 0}, "q2": {"d4": 1}}
RUN = {"q1": ["d4", "d3", "d1", "d2"], "q2": ["d5", "d1", "d4"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BEIR folder, with a run whose lines are not in the order of its ranks."""
    for name, texts in (("queries", QUERIES), ("corpus", TEXTS)):
        lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "qrels").mkdir()
    rows = [f"{q}\t{d}\t{grade}" for q, grades in GRADES.items() for d, grade in grades.items()]
    (tmp_path / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    lines = [
        f"{query} Q0 {document} {rank} {10 - rank} x"
        for query, documents in RUN.items()
        for rank, document in reversed(list(enumerate(documents, 1)))
    ]
    (tmp_path / "run.trec").write_text("\n".join(lines))
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["eval", *map(str, arguments)])


def ndcg(query: str, order: list[str]) -> float:
    """The definition, with linear gains; without cut-off, as there are fewer than ten documents."""
    grades = GRADES[query]
    gains = [grades.get(document, 0) for document in order]
    best = sorted(grades.values(), reverse=True)
    dcg, ideal = (sum(g / math.log2(i + 2) for i, g in enumerate(each)) for each in (gains, best))
    return dcg / ideal


def reciprocal(query: str, order: list[str]) -> float:
    found = [i for i, document in enumerate(order, 1) if GRADES[query].get(document, 0) > 0]
    return 1 / found[0] if found else 0.0


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def by_margin(query: str) -> list[str]:
    return sorted(RUN[query], key=lambda one: -margin(QUERIES[query], TEXTS[one]))


def test_the_figures_follow_the_definitions(served: str, folder: Path) -> None:
    done = run(
        "demo",
        "--url",
        served,
        "--data",
        folder,
        "--run",
        folder / "run.trec",
        "--recall",
        "1",
        "--recall",
        "2",
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["queries"] == 2
    first = found["rankings"]["first stage"]["measures"]
    assert first["nDCG@10"]["mean"] == pytest.approx(mean([ndcg(q, RUN[q]) for q in QUERIES]))
    assert first["MRR@10"]["mean"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert first["recall@1"]["mean"] == 0
    assert first["recall@2"]["mean"] == pytest.approx((1 / 2 + 0) / 2)
    reranked = found["rankings"]["reranked"]["measures"]
    orders = {query: by_margin(query) for query in QUERIES}
    assert orders != RUN
    expected = mean([ndcg(q, order) for q, order in orders.items()])
    assert reranked["nDCG@10"]["mean"] == pytest.approx(expected)
    assert reranked["MRR@10"]["mean"] == pytest.approx(
        mean([reciprocal(q, order) for q, order in orders.items()])
    )
    gain = found["rankings"]["reranked"]["gains"]["nDCG@10"]
    assert gain["mean"] == pytest.approx(reranked["nDCG@10"]["mean"] - first["nDCG@10"]["mean"])
    assert gain["low"] <= gain["mean"] <= gain["high"]
    bm25 = found["rankings"]["BM25"]["measures"]
    assert bm25["MRR@10"]["mean"] == 1.0  # the words of each query are in its document alone


def test_bm25_finds_candidates_where_no_run_is_given(folder: Path) -> None:
    done = gateway("eval", *LOCAL, "--data", str(folder), "--top-k", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["rankings"]
    assert list(found) == ["BM25", "reranked"]
    assert found["BM25"]["measures"]["MRR@10"]["mean"] == 1.0
    assert found["BM25"]["gains"] == {}


def labelled(folder: Path) -> Path:
    file = folder / "labelled.jsonl"
    lines: list[dict[str, Any]] = [
        {
            "query": QUERIES[query],
            "documents": [
                {"id": id, "text": TEXTS[id], "label": GRADES[query].get(id, 0)} for id in order
            ],
        }
        for query, order in RUN.items()
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_labelled_candidates_give_the_figures_of_a_run(served: str, folder: Path) -> None:
    same = ("demo", "--url", served, "--json")
    by_run = run(*same, "--data", folder, "--run", folder / "run.trec")
    by_labels = run(*same, "--candidates", labelled(folder))
    assert by_labels.exit_code == 0, by_labels.stderr
    assert json.loads(by_labels.stdout) == json.loads(by_run.stdout)


def test_local_shards_score_candidates_quietly(folder: Path) -> None:
    done = gateway("eval", *LOCAL, "--candidates", str(labelled(folder)), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first = json.loads(done.stdout)["rankings"]["first stage"]["measures"]
    assert first["MRR@10"]["mean"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_the_table_has_each_ranking_and_its_gains(served: str, folder: Path) -> None:
    done = run("demo", "--url", served, "--candidates", labelled(folder))
    words = ("first stage", "BM25", "reranked", "less first stage", "nDCG@10", "recall@100")
    for word in (*words, "2 queries were reranked"):
        assert word in done.stdout


def test_queries_that_a_run_lacks_count_as_0(served: str, folder: Path) -> None:
    lines = (folder / "run.trec").read_text().splitlines()
    (folder / "run.trec").write_text("\n".join(line for line in lines if line.startswith("q1")))
    done = run("demo", "--url", served, "--data", folder, "--run", folder / "run.trec", "--json")
    first = json.loads(done.stdout)["rankings"]["first stage"]["measures"]
    assert first["nDCG@10"]["mean"] == pytest.approx(ndcg("q1", RUN["q1"]) / 2)


def test_refused_queries_are_left_out_of_all(served: str, folder: Path) -> None:
    file = labelled(folder)
    first, second = map(json.loads, file.read_text().splitlines())
    second["query"] = "word " * 9000  # longer than the model reads
    file.write_text("\n".join(map(json.dumps, (first, second))))
    done = run("demo", "--url", served, "--candidates", file, "--json")
    assert done.exit_code == 1
    assert "it is left out" in done.stderr
    found = json.loads(done.stdout)
    assert found["queries"] == len(found["refused"]) == 1
    measures = found["rankings"]["first stage"]["measures"]
    assert measures["nDCG@10"]["mean"] == pytest.approx(ndcg("q1", RUN["q1"]))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "nothing to measure"),
        (("--candidates", "x", "--run", "y"), 2, "give --qrels beside it at most"),
        (("--candidates", "nowhere.jsonl"), 1, "nowhere.jsonl cannot be read"),
        (("--candidates", "{labelled}", "--stem", "klingon"), 2, "klingon is none of"),
        (("--candidates", "{unlabelled}"), 1, "no query has a document that is judged relevant"),
        (("--candidates", "{labelled}", "--url", "http://127.0.0.1:9"), 2, "cannot be reached"),
    ],
)
def test_errors_are_named(folder: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    unlabelled = folder / "unlabelled.jsonl"
    unlabelled.write_text('{"query": "q", "documents": ["a", "b"]}')
    names = {"labelled": labelled(folder), "unlabelled": unlabelled}
    done = run(*(argument.format(**names) for argument in arguments))
    assert done.exit_code == code
    assert words in done.stderr


def test_without_the_libraries_the_error_has_an_install_command(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ir_measures'] = None\n")
    paths = f"{tmp_path}{os.pathsep}{Path.cwd()}"
    done = gateway("eval", "--candidates", str(labelled(folder)), PYTHONPATH=paths)
    assert done.returncode == 69
    assert "rerank-gateway[eval]" in done.stderr
