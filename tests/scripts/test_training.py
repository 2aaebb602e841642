"""Training lists and courses: the content of a list, and the resumption of an interrupted build."""

from pathlib import Path

import pytest
import torch
from rich.progress import Progress

from scripts.embedded import stages
from scripts.embedded.lists import NEGATIVES
from scripts.embedded.sources import Pair
from scripts.embedded.stages import Corpus
from scripts.embedded.tokenizer import learn_pieces
from scripts.embedded.training import (
    EMBEDDING_RATE,
    Course,
    Training,
    average_in,
    optimiser_of,
    rate_factor,
    train,
)

COURSE = Course(steps=3, lists_a_step=1, warm_up=1, report_each=2, keep_each=2)
SUBJECTS = ["kettle", "ladder", "garden", "window", "pencil", "bridge", "candle", "basket"]


def pair(subject: str) -> Pair:
    return Pair(
        "written-en",
        "en",
        "train",
        f"where is my {subject}",
        f"The {subject} stands in the hall. Look behind the {subject} as well.",
        f"A song about a {subject}.",
    )


@pytest.fixture(autouse=True)
def only_these_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {("asked", "written-en"): 3, ("cut", "written-en"): 1, ("keywords", "written-en"): 1}
    monkeypatch.setattr("scripts.embedded.lists.MIXTURE", kinds)


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    return learn_pieces([pair(subject).document for subject in SUBJECTS], 700)


def begun(pieces: list[str], course: Course = COURSE) -> Training:
    torch.manual_seed(0)
    weights = torch.full((len(pieces),), 0.6)
    reranker = stages.start("bert", pieces, torch.zeros(len(pieces), 8), weights)
    pairs = [pair(subject) for subject in SUBJECTS]
    corpus = Corpus(pairs, pairs, [], [])
    maker = stages.list_maker(corpus, reranker.tokenizer, weights, course)
    return Training(reranker, maker, course)


def test_a_question_meets_its_own_answer_and_the_text_written_to_be_taken_for_it(
    pieces: list[str],
) -> None:
    maker = begun(pieces).maker
    for question in maker.asked["written-en"]:
        assert question.wrong is not None
        right = maker.encoded[question.passage]
        drawn = maker.build([5], question.passage, right, question.wrong)
        wrong = maker.encoded[question.wrong]
        assert any(document[: len(wrong)] == wrong[: len(document)] for document in drawn.documents)
        assert len(drawn.documents) == 1 + NEGATIVES


def test_an_interrupted_training_ends_with_the_same_weights(
    pieces: list[str], tmp_path: Path
) -> None:
    whole, stopped, resumed = begun(pieces), begun(pieces), begun(pieces)
    lines: list[str] = []
    assert list(train(whole, tmp_path / "whole.pt", lines.append)) == [1, 2, 3]
    for step in train(stopped, tmp_path / "stopped.pt", lines.append):
        if step == 2:
            break
    lines.clear()
    assert list(train(resumed, tmp_path / "stopped.pt", lines.append)) == [3]
    assert lines[0] == "going on from step 2"
    for expected, found in zip(
        whole.reranker.model.parameters(), resumed.reranker.model.parameters(), strict=True
    ):
        assert torch.equal(expected, found)


def test_a_share_lies_between_the_start_and_the_end(pieces: list[str]) -> None:
    model = begun(pieces).reranker.model
    start = {name: value.clone() for name, value in model.state_dict().items()}
    end = {name: value + 1 for name, value in start.items()}
    average_in(model, start, end, 0.25)
    name = "classifier.bias"
    assert model.state_dict()[name].tolist() == pytest.approx((start[name] + 0.25).tolist())


def test_the_rate_follows_the_cosine_until_it_cools_down() -> None:
    whole, ended_early = Course(steps=1000), Course(steps=600, horizon=1000, cool_down=300)
    for step in (0, 30, 60, 200, 300):
        assert rate_factor(step, ended_early) == rate_factor(step, whole)
    half_way = rate_factor(450, ended_early)
    assert half_way == pytest.approx(rate_factor(450, whole) / 2)
    assert rate_factor(600, ended_early) == 0


def test_the_layers_that_match_and_the_embeddings_move_at_a_rate_of_their_own(
    pieces: list[str],
) -> None:
    model = begun(pieces).reranker
    course = Course(steps=10, rate=1e-3, matching_rate=0.2)
    rates = {
        id(parameter): group["full_rate"]
        for group in optimiser_of(model, course).param_groups
        for parameter in group["params"]
    }
    named = {name: rates[id(parameter)] for name, parameter in model.model.named_parameters()}
    assert len(named) == len(rates)
    prefix = "bert.encoder.layer"
    assert named[f"{prefix}.0.attention.self.query.weight"] == pytest.approx(2e-4)
    assert named[f"{prefix}.1.attention.output.dense.weight"] == pytest.approx(2e-4)
    assert named[f"{prefix}.0.intermediate.dense.weight"] == 1e-3
    assert named[f"{prefix}.2.attention.self.query.weight"] == 1e-3
    assert named["bert.embeddings.word_embeddings.weight"] == 1e-3 * EMBEDDING_RATE


def test_courses_of_different_seeds_start_alike_and_are_averaged(
    pieces: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    courses = tuple(Course(steps=1, lists_a_step=1, warm_up=1, seed=seed) for seed in (1, 2))
    monkeypatch.setitem(stages.COURSES, "bert", courses)
    monkeypatch.setattr(stages, "best_share", lambda *_: 1.0)
    reranker = begun(pieces).reranker
    pairs = [pair(subject) for subject in SUBJECTS]
    weights = torch.full((len(pieces),), 0.6)
    with Progress(disable=True) as progress:
        corpus = Corpus(pairs, pairs, [], [])
        found, _ = stages.trained("bert", reranker, corpus, weights, tmp_path, progress)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    one, other = (torch.load(tmp_path / f"trained-bert-{seed}.pt")[name] for seed in (1, 2))
    assert not torch.equal(one, other)
    mean = ((one + other) / 2).to(torch.bfloat16).float()
    assert torch.equal(found.model.state_dict()[name], mean)
