"""Runs that trec_eval reads in the order of the gateway, and the order in which it reads others."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.inputs import BadInput, Document, Question
from gateway.cli.measure.judged import read_run
from gateway.cli.score.output_formats import Answer, Result, TrecPrinter
from gateway.cli.score.trec_order import falling, single
from gateway.domain.request import sigmoid

_RANKINGS = 10_000
_LONGEST = 9
_TIED = (0.0, 0.5, 7.0, 17.0, 17.00001, 20.0, 30.0, 40.0, 50.0, -20.0, -90.0, -110.0, -800.0)
"""Margins whose scores are equal, or become equal in single precision."""
_IDS = ("d1", "d10", "d2", "D2", "é", "я", "中", "a", "ab", "~", "0", "x-1")


def _margins(random: Random) -> list[float]:
    count = random.randint(1, _LONGEST)
    return [random.choice((random.choice(_TIED), random.gauss(0, 8))) for _ in range(count)]


def _ranks_by_trec_eval(run: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """Return the documents of each query in the order of trec_eval: each is sought by itself."""
    single_runs = {f"{query} {id}": scores for query, scores in run.items() for id in scores}
    qrels = {key: {key.partition(" ")[2]: 1} for key in single_runs}
    found = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(single_runs)
    places = {key: round(1 / values["recip_rank"]) for key, values in found.items()}
    return {
        query: sorted(scores, key=lambda id: places[f"{query} {id}"])
        for query, scores in run.items()
    }


def _answers() -> list[Answer]:
    """Return rankings as the gateway makes them: best margin first, ties by place."""
    random, answers = Random(7), []
    for number in range(_RANKINGS):
        margins = sorted(_margins(random), reverse=True)
        ids = random.sample(_IDS, len(margins))
        results = tuple(
            Result(index, sigmoid(margin), Document("text", id), {"margin": margin})
            for index, (margin, id) in enumerate(zip(margins, ids, strict=True))
        )
        answers.append(Answer(Question("q", (), f"q{number}"), results))
    return answers


def test_trec_eval_keeps_the_order_of_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    answers = _answers()
    printer = TrecPrinter(True)
    for answer in answers:
        printer.show(answer)
    printer.end()
    lines = capsys.readouterr().out.splitlines()
    expected = {answer.question.id: [r.document.id for r in answer.results] for answer in answers}
    assert _ranks_by_trec_eval(pytrec_eval.parse_run(lines)) == expected
    margins = [float(line.split()[5].removeprefix("rerank-gateway:margin=")) for line in lines]
    assert margins == [r.details["margin"] for answer in answers for r in answer.results]


def test_a_first_stage_is_read_in_the_order_of_trec_eval(tmp_path: Path) -> None:
    random, run = Random(8), {}
    for number in range(_RANKINGS):
        scores = [random.choice((sigmoid(m), m, 1e39 * m)) for m in _margins(random)]
        ids = random.sample(_IDS, len(scores))
        run[f"q{number}"] = dict(zip(ids, scores, strict=True))
    lines = [
        f"{q} Q0 {id} 1 {score!r} x" for q, found in run.items() for id, score in found.items()
    ]
    (tmp_path / "run").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "queries.tsv").write_text("".join(f"{query}\tq\n" for query in run))
    (tmp_path / "corpus.tsv").write_text("".join(f"{id}\tt\n" for id in _IDS), encoding="utf-8")
    texts = (str(tmp_path / "queries.tsv"), str(tmp_path / "corpus.tsv"))
    found = read_run(str(tmp_path / "run"), *texts, {query: {"d1": 1} for query in run})
    orders = {each.question.id: [d.id for d in each.question.documents] for each in found}
    assert orders == _ranks_by_trec_eval(run)


def test_without_a_margin_the_tag_has_the_whole_score(capsys: pytest.CaptureFixture[str]) -> None:
    TrecPrinter(True).show(Answer(Question("q", ()), (Result(3, 0.1, Document("text")),)))
    assert capsys.readouterr().out == "1 Q0 3 1 0.100000001 rerank-gateway:score=0.1\n"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=50))
def test_scores_fall_strictly_and_stay_near(margins: Sequence[float]) -> None:
    scores = [sigmoid(max(-1e4, min(margin, 1e4))) for margin in sorted(margins, reverse=True)]
    found = list(falling(scores))
    assert all(first > second for first, second in pairwise(found))
    assert [single(float(f"{score:.9g}")) for score in found] == found
    assert all(abs(a - b) <= 2e-7 * len(scores) for a, b in zip(scores, found, strict=True))


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    for text in ("nan", "high"):
        (tmp_path / "run").write_text(f"q Q0 d 1 {text} x\n")
        with pytest.raises(BadInput, match="is no number"):
            read_run(str(tmp_path / "run"), "queries.tsv", "corpus.tsv", {})
