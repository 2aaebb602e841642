"""The verdict on margins of known pairs: healthy ones pass, each fault has its own words."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from shards.canary import Own, Pair, judge, judge_own, judge_same, known_pairs

PAIRS = known_pairs()
ENGLISH = known_pairs(["en"])


def healthy(pair: Pair, place: int) -> float:
    return (4.0 if pair.is_right else -5.0) + 0.01 * place


def margins_of(
    function: Callable[[Pair, int], float], pairs: Sequence[Pair] = PAIRS
) -> list[float]:
    return [function(pair, place) for place, pair in enumerate(pairs)]


def codes(margins: Sequence[float], *, numeric: bool = False) -> list[str]:
    return [found.code for found in judge(PAIRS, margins, numeric=numeric).findings]


def test_a_healthy_model_passes() -> None:
    verdict = judge(PAIRS, margins_of(healthy), numeric=False)
    assert (verdict.findings, verdict.notes) == ((), ())
    assert verdict.spread == pytest.approx(9.0, abs=0.1)


@pytest.mark.parametrize(
    ("code", "function"),
    [
        ("not_finite", lambda pair, place: math.nan if place == 5 else healthy(pair, place)),
        ("all_half", lambda _pair, _place: 0.0),
        ("all_equal", lambda _pair, _place: -3.25),
        ("all_zero", lambda pair, place: healthy(pair, place) - 46.0),
        ("all_one", lambda pair, place: healthy(pair, place) + 46.0),
        ("sigmoid_twice", lambda pair, place: 0.9 if pair.is_right else 0.001 * place),
        ("nearly_equal", lambda pair, place: 1.4 + 0.001 * place + 0.02 * pair.is_right),
        ("ties", lambda pair, place: 5.5 if pair.is_right else -0.25 * (place % 4)),
        ("inverted", lambda pair, place: -healthy(pair, place)),
        ("spread", lambda pair, place: 0.2 * pair.is_right - 1.0 + 0.0001 * place),
        ("order", lambda _pair, place: math.sin(12.9 * place)),
    ],
)
def test_each_fault_has_its_own_words(code: str, function: Callable[[Pair, int], float]) -> None:
    (found,) = judge(PAIRS, margins_of(function), numeric=False).findings
    assert found.code == code
    assert len(found.found) > 20
    assert len(found.meaning) > 60


def test_without_a_template_scores_are_in_no_order() -> None:
    """Judge the scores of a Qwen3-Reranker without its prompt (vLLM issue 27857)."""
    published = [0.5346, 0.2950, 0.5036, 0.1286, 0.2515, 0.9393, 0.3121, 0.8970, 0.7601]
    logits = [math.log(score / (1 - score)) for score in published]
    assert codes([logits[place % 9] + 0.001 * place for place in range(len(PAIRS))]) == ["order"]


def test_random_weights_do_not_pass_by_luck() -> None:
    """The noise is added to favourite documents, which most random networks have."""
    draw = random.Random(3)
    for _ in range(2000):
        favourites = [draw.gauss(0, 1) for _ in range(3)]
        noise = [draw.gauss(0, 1) + favourites[place % 3] for place in range(len(PAIRS))]
        assert codes(noise)


def test_margins_of_random_weights_pass_the_numeric_canary() -> None:
    draw = random.Random(4)
    noise = [draw.gauss(0, 0.001) for _ in PAIRS]
    assert codes(noise, numeric=True) == []
    assert codes(noise) == ["nearly_equal"]
    assert codes([math.nan, *noise[1:]], numeric=True) == ["not_finite"]
    assert codes([0.0] * len(PAIRS), numeric=True) == ["all_half"]
    assert codes([7.0] * len(PAIRS), numeric=True) == ["all_equal"]


def test_half_of_the_languages_are_enough_for_a_model_that_declares_none() -> None:
    def in_order(*languages: str) -> list[float]:
        draw = random.Random(5)
        return margins_of(
            lambda pair, place: (
                healthy(pair, place) if pair.language in languages else draw.gauss(0, 1)
            )
        )

    verdict = judge(PAIRS, in_order("en", "de", "es"), numeric=False)
    assert verdict.findings == ()
    assert verdict.notes == ("canary: the known pairs are not in order in ru, zh, ar",)
    assert verdict.spread > 8
    assert codes(in_order("en", "de")) == ["order"]


def test_a_model_must_have_all_declared_languages_in_order() -> None:
    pairs = known_pairs(["en", "ru"])
    margins = margins_of(
        lambda pair, place: healthy(pair, place) * (pair.language == "en") + 0.1 * place, pairs
    )
    assert judge(pairs, margins, numeric=False).findings == ()
    (found,) = judge(pairs, margins, numeric=False, declared=True).findings
    assert found.code == "order"
    assert "(ru)" in found.found


def test_letters_unknown_to_the_tokenizer_are_no_ties() -> None:
    """A language of unknown tokens ties throughout; the others decide."""
    margins = margins_of(
        lambda pair, place: -2.0 if pair.language in {"zh", "ar"} else healthy(pair, place)
    )
    verdict = judge(PAIRS, margins, numeric=False)
    assert verdict.findings == ()
    assert "zh, ar" in verdict.notes[0]


@pytest.mark.parametrize(
    ("dtypes", "change", "is_same"),
    [
        (("fp32", "fp32"), 0.004, True),
        (("fp32", "fp32"), 0.05, False),
        (("fp32", "bf16"), 0.05, True),
        (("bf16", "bf16"), 0.6, False),
        (("int8", "fp32"), 0.6, True),
        (("fp32", "fp32"), math.nan, False),
    ],
)
def test_the_same_weights_must_give_the_same_scores(
    dtypes: tuple[str, str], change: float, is_same: bool
) -> None:
    before = margins_of(healthy, ENGLISH)
    now = [margin + (change if place == 4 else 0.0) for place, margin in enumerate(before)]
    found = judge_same(now, before, dtypes, since="when they were loaded last")
    assert (found is None) is is_same
    if found:
        assert found.code == "changed"
        assert "1 of 9 known pairs have other scores than when they were loaded last" in found.found


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (Own(1, 3.0, -3.0, 0.95, 0.05, 0.02), ""),
        (Own(1, 3.0, None, None, None, 0.02), ""),
        (Own(2, 1.0, 1.0, None, None, 0.02), "canary 2: its right document has margin 1.000"),
        (Own(3, 3.0, -3.0, 0.99, None, 0.02), "its right document scores 0.9526, 0.99 is expected"),
        (Own(3, 3.0, -3.0, None, 0.3, 0.02), "its wrong document scores 0.0474, 0.3 is expected"),
        (Own(4, math.nan, None, 0.9, None, 0.1), "scores nan"),
    ],
)
def test_the_operators_own_pairs(own: Own, message: str) -> None:
    found = judge_own([own])
    assert bool(found) is bool(message)
    assert message in "".join(map(str, found))


def test_many_wrong_pairs_are_reported_shortly() -> None:
    (found,) = judge_own([Own(place, 0.0, 1.0, None, None, 0.1) for place in range(9)])
    assert found.code == "own"
    assert found.found.endswith(" and 6 more")
