"""The choice of a model of a split: by weight, and the same for the same subject."""

from collections import Counter
from collections.abc import Mapping

import pytest

from gateway.serving.traffic_split import deal, share

SUBJECTS = [f"query {number}" for number in range(4000)]


def dealt(weights: Mapping[str, float], split: str = "search") -> list[str]:
    return [deal(split, weights, subject, weights) for subject in SUBJECTS]


@pytest.mark.parametrize("weights", [{"a": 90.0, "b": 10.0}, {"a": 1.0, "b": 1.0, "c": 2.0}])
def test_every_model_has_its_share(weights: Mapping[str, float]) -> None:
    counts = Counter(dealt(weights))
    for model in weights:
        assert counts[model] / len(SUBJECTS) == pytest.approx(share(weights, model), abs=0.03)


def test_the_same_subject_has_the_same_model_in_every_process() -> None:
    """The choice is written down: another gateway, or a later start, must make the same."""
    assert dealt({"a": 1, "b": 1})[:12] == dealt({"b": 1, "a": 1})[:12] == list("baaabbaaaabb")


def test_a_larger_weight_takes_subjects_and_gives_none_back() -> None:
    before, after = dealt({"a": 90, "b": 10, "c": 50}), dealt({"a": 90, "b": 20, "c": 50})
    moved = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    assert moved == {("a", "b"), ("c", "b")}


def test_only_the_subjects_of_a_missing_model_go_elsewhere() -> None:
    weights = {"a": 1, "b": 1, "c": 1}
    for subject, model in zip(SUBJECTS, dealt(weights), strict=True):
        assert model == "c" or deal("search", weights, subject, {"a", "b"}) == model


def test_a_model_of_weight_0_gets_nothing_unless_it_is_the_only_one() -> None:
    assert set(dealt({"a": 1, "b": 0})) == {"a"}
    assert deal("search", {"a": 1, "b": 0}, "q", {"b"}) == "b"


def test_two_splits_choose_independently() -> None:
    both = zip(dealt({"a": 1, "b": 1}), dealt({"a": 1, "b": 1}, "other"), strict=True)
    counts = Counter(both)
    assert min(counts.values()) > len(SUBJECTS) / 5
    assert len(counts) == 4


def test_any_text_can_be_a_subject() -> None:
    assert deal("s", {"a": 1}, "\ud800 \x00", {"a"}) == "a"
