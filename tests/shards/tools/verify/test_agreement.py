"""The agreement of two lists of margins, and the pairs on which they are compared."""

import math

import pytest

from shards.tools.verify.agreement import DOCUMENTS, agreement, questions, spearman

THEIRS = [3.0, -1.0, -2.0, 0.5, -4.0, 6.0, 1.0, 0.0]


def test_equal_margins_agree() -> None:
    found = agreement(THEIRS, THEIRS, "fp32")
    assert (found.pairs, found.difference, found.spearman, found.top_1) == (8, 0.0, 1.0, 1.0)
    assert found.is_within


@pytest.mark.parametrize(
    ("dtype", "apart", "is_within"),
    [("fp32", 5e-4, True), ("fp32", 5e-3, False), ("bf16", 0.2, True), ("bf16", 1.0, False)],
)
def test_how_far_they_may_lie_apart_depends_on_the_number_format(
    dtype: str, apart: float, is_within: bool
) -> None:
    ours = [margin - apart * (place == 3) for place, margin in enumerate(THEIRS)]
    found = agreement(ours, THEIRS, dtype)
    assert found.is_within is is_within
    assert found.difference == pytest.approx(apart)


def test_another_best_document_is_seen() -> None:
    ours = [*THEIRS[:4], 9.0, *THEIRS[5:]]
    assert agreement(ours, THEIRS, "fp32").top_1 == 0.5


def test_what_is_no_number_does_not_agree() -> None:
    assert not agreement([math.nan, *THEIRS[1:]], THEIRS, "fp32").is_within


def test_rank_correlation() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_questions_are_of_all_languages_and_lengths() -> None:
    asked = questions(32)
    assert len(asked) * DOCUMENTS == 32
    lengths = sorted(len(text) for question in asked for text in question.documents)
    assert lengths[0] < 40
    assert lengths[-1] > 300
    assert len({question.query for question in asked}) == len(asked)
    assert sum(question.query.isascii() for question in asked) < len(asked)
