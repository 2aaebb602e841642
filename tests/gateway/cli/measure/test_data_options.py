"""Judged data of `calibrate` and `compare`: JSON lines, TREC and BEIR beside each other."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.inputs import BadInput
from gateway.cli.measure.data_options import DataOptions, judged_data

TEXTS = {"d1": "red apples", "d2": "green apples", "d3": "noon train"}
QUERIES = {"q1": "red apples", "q2": "noon train"}
NONE = DataOptions(None, None, None, None, "test", 100)


def json_lines(texts: dict[str, str]) -> str:
    return "".join(json.dumps({"_id": id, "text": text}) + "\n" for id, text in texts.items())


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder as BEIR has it, whose judgements name relevant documents only."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_text(json_lines(QUERIES))
    (folder / "corpus.jsonl").write_text(json_lines(TEXTS))
    heading = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels/test.tsv").write_text(f"{heading}q1\td1\t1\nq2\td3\t1\n")
    (folder / "qrels/full.tsv").write_text(f"{heading}q1\td1\t2\nq1\td3\t0\n")
    return folder


def trec(beir: Path, qrels: str, run: str | None) -> DataOptions:
    queries, corpus = str(beir / "queries.jsonl"), str(beir / "corpus.jsonl")
    return DataOptions(queries, corpus, str(beir / qrels), run, "test", 100)


def labels(files: list[Path], options: DataOptions) -> dict[str, dict[str, int | None]]:
    """Return the label of each candidate, by query."""
    return {
        each.question.id: dict(
            zip((d.id for d in each.question.documents), each.labels, strict=True)
        )
        for each in judged_data(list(map(str, files)), options)
    }


def test_a_beir_folder_has_candidates_of_bm25(
    beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert labels([beir], NONE) == {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 1}}
    assert "candidates without a judgement count as not relevant" in capsys.readouterr().err


def test_judgements_of_both_kinds_are_taken_as_they_are(
    beir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "first.run"
    run.write_text("q1 Q0 d2 1 9 x\nq1 Q0 d3 2 8 x\nq1 Q0 d1 3 7 x\n")
    found = labels([], trec(beir, "qrels/full.tsv", str(run)))
    assert found == {"q1": {"d2": None, "d3": 0, "d1": 2}}
    assert capsys.readouterr().err == ""


def test_several_files_are_read_together(beir: Path, tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text('{"query": "q", "positive": ["a"], "negative": ["b"]}\n')
    found = labels([tmp_path / "one.jsonl", beir, tmp_path / "two.jsonl"], NONE)
    assert found["#0"] == found["#1"] == {"#0": 1, "#1": 0}
    assert set(found) == {"#0", "#1", "q1", "q2"}
    with pytest.raises(BadInput, match="query 'q1' is in other data as well"):
        labels([beir], trec(beir, "qrels/full.tsv", None))


def test_a_part_of_a_collection_is_refused(beir: Path) -> None:
    with pytest.raises(click.UsageError, match="--queries, --corpus and --qrels"):
        judged_data([], DataOptions(str(beir / "queries.jsonl"), None, None, None, "test", 1))
    for arguments in (["calibrate"], ["calibrate", "--run", "x"], ["compare", "a", "--qrels", "x"]):
        done = CliRunner().invoke(cli, arguments)
        assert (done.exit_code, "--queries, --corpus and --qrels" in done.stderr) == (2, True)


def test_compare_reads_a_beir_folder(beir: Path) -> None:
    arguments = ["compare", "m=fake", "n=fake", "--engine", "fake", "--data", str(beir), "--json"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["questions"], found["documents"]) == (2, 3)
    assert found["ndcg_at_10"]["a"] == found["ndcg_at_10"]["b"]
