"""Training lists and the course: what a list holds, and going on where an interrupted build stopped."""

from pathlib import Path

import pytest
import torch

from scripts.embedded import stages
from scripts.embedded.lists import NEGATIVES
from scripts.embedded.sources import Pair
from scripts.embedded.stages import Corpus
from scripts.embedded.tokenizer import learn_pieces
from scripts.embedded.training import Course, Training, average_in, train

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
    return learn_pieces([p.document for p in map(pair, SUBJECTS)], 700)


def begun(pieces: list[str]) -> Training:
    torch.manual_seed(0)
    weights = torch.full((len(pieces),), 0.6)
    reranker = stages.start("bert", pieces, torch.zeros(len(pieces), 8), weights)
    pairs = [pair(subject) for subject in SUBJECTS]
    maker = stages.list_maker(Corpus(pairs, pairs, [], []), reranker.tokenizer, weights)
    return Training(reranker, maker, COURSE)


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
    told: list[str] = []
    assert list(train(whole, tmp_path / "whole.pt", told.append)) == [1, 2, 3]
    for step in train(stopped, tmp_path / "stopped.pt", told.append):
        if step == 2:
            break
    told.clear()
    assert list(train(resumed, tmp_path / "stopped.pt", told.append)) == [3]
    assert told[0] == "going on from step 2"
    for one, other in zip(
        whole.reranker.model.parameters(), resumed.reranker.model.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_share_lies_between_the_start_and_the_end(pieces: list[str]) -> None:
    model = begun(pieces).reranker.model
    start = {name: value.clone() for name, value in model.state_dict().items()}
    end = {name: value + 1 for name, value in start.items()}
    average_in(model, start, end, 0.25)
    name = "classifier.bias"
    assert model.state_dict()[name].tolist() == pytest.approx((start[name] + 0.25).tolist())
