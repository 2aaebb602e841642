"""`gateway compare`; the fake engine's margins can be computed here."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.inputs import Document, Question
from gateway.cli.measure.agreement import ModelRun, agreement
from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.score.scorer import Score
from gateway.domain.request import sigmoid
from gateway.telemetry.rank_correlation import kendall_tau, overlap_at_k
from tests.gateway.cli.conftest import gateway, svg_texts

QUESTIONS = [
    {"query": "red apples", "documents": ["a", "b", "c", "d"], "labels": [0, 1, 0, 0]},
    {"query": "noon train", "documents": ["e", "f", "g"], "labels": [1, 0, 2]},
]


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, QUESTIONS)))
    return str(file)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments])


def test_a_model_agrees_with_itself(served: str, data: str) -> None:
    done = run("demo", "demo", "--url", served, "--data", data, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["a"] == found["b"] == "demo"
    assert (found["questions"], found["documents"]) == (2, 7)
    assert (found["kendall_tau"], found["spearman_rho"]) == pytest.approx((1.0, 1.0))
    assert found["top1"] == found["overlap"] == 1.0
    assert found["mean_difference"] == found["largest_difference"] == 0.0
    assert found["latency_ratio"] > 0
    assert found["ndcg_at_10"]["a"] == found["ndcg_at_10"]["b"]
    assert found["ndcg_at_10"]["gain"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_different_models_are_compared_without_a_gateway(data: str, tmp_path: Path) -> None:
    plot = tmp_path / "agree.svg"
    done = gateway(
        "compare",
        "embedded:bert",
        "one=fake",
        "--engine-b",
        "fake",
        "--device",
        "cpu:0",
        "--data",
        data,
        "--plot",
        str(plot),
    )
    assert done.returncode == 0, done.stderr
    for word in ("Kendall's tau", "same best document", "time of B over A", "nDCG@10, B less A"):
        assert word in done.stdout
    assert plot.read_bytes().startswith(b"<?xml")
    assert "embedded:bert and one=fake" in svg_texts(plot)


def model_run(margins: list[list[float]], seconds: list[float]) -> ModelRun:
    scores = {
        str(number): [Score(sigmoid(margin), margin) for margin in each]
        for number, each in enumerate(margins)
    }
    return ModelRun(scores, {str(number): each for number, each in enumerate(seconds)}, {}, ())


def test_the_figures_are_means_over_questions() -> None:
    documents = [tuple(Document(str(i), str(i)) for i in range(count)) for count in (3, 2)]
    judged = [
        JudgedQuery(Question("q", each, str(number))) for number, each in enumerate(documents)
    ]
    first, second = [[3.0, 2.0, 1.0], [1.0, 1.0]], [[2.0, 4.0, 1.0], [0.0, 1.0]]
    found = agreement(judged, model_run(first, [0.5, 1.0]), model_run(second, [1.0, 4.0]), 2)
    assert (found.questions, found.documents) == (2, 5)
    # the second question has no correlation: one run has the same score for both documents
    assert found.kendall_tau == kendall_tau(first[0], second[0]) == pytest.approx(1 / 3)
    assert found.spearman_rho == pytest.approx(0.5)
    assert found.top1 == 0.0
    assert found.overlap == (overlap_at_k(first[0], second[0], 2) + 1.0) / 2
    less = [
        sigmoid(b) - sigmoid(a)
        for each, other in zip(first, second, strict=True)
        for a, b in zip(each, other, strict=True)
    ]
    assert found.mean_difference == pytest.approx(sum(less) / 5)
    assert found.mean_absolute_difference == pytest.approx(sum(map(abs, less)) / 5)
    assert found.largest_difference == pytest.approx(sigmoid(0.0) - sigmoid(1.0))
    assert found.latency_ratio == 3.0
    assert math.isfinite(found.mean_difference)


def test_refused_questions_are_left_out(served: str, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    long: dict[str, Any] = {"id": "long", "query": "word " * 9000, "documents": ["x"]}
    file.write_text("\n".join(map(json.dumps, [long, *QUESTIONS])))
    done = run("demo", "demo", "--url", served, "--data", str(file), "--json")
    assert done.exit_code == 1
    assert "demo (A): query long: " in done.stderr
    assert json.loads(done.stdout)["questions"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--data", "nowhere.jsonl"), 1, "nowhere.jsonl cannot be read"),
        (("--data", "{data}", "--plot", "x.gif"), 2, "must end in .svg or .png"),
        (("--data", "{data}", "--url", "http://127.0.0.1:9"), 2, "cannot be reached"),
        (("--data", "{data}", "--dialect-b", "x"), 2, "'x' is not one of 'jina'"),
        ((), 2, "--data"),
    ],
)
def test_errors_are_named(data: str, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run("a", "b", *(argument.format(data=data) for argument in arguments))
    assert done.exit_code == code
    assert words in done.stderr
