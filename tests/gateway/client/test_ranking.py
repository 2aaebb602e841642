"""The formula, on any numbers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import InvalidRequest
from gateway.client.candidates import Candidate
from gateway.client.ranking import Blend, ranked
from gateway.client.wire import Scored

SCORES = st.floats(0, 1)
FIRST = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(SCORES, FIRST, st.booleans()), min_size=1, max_size=20)


def candidates(rows: list[tuple[float, float, bool]]) -> list[Candidate]:
    return [
        Candidate(f"d{i}", f"d{i}", {"official": official}, first)
        for i, (_, first, official) in enumerate(rows)
    ]


def scored(rows: list[tuple[float, float, bool]]) -> list[Scored]:
    """As a server answers: best first, ties by index."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    return [Scored(i, rows[i][0]) for i in order]


def test_the_formula_by_hand() -> None:
    documents = [
        Candidate("a", "a", {"official": 1, "new": 0}, 10.0),
        Candidate("b", "b", {}, 30.0),
        Candidate("c", "c", {"official": "yes", "new": True}, 20.0),
    ]
    blend = Blend(0.25, {"official": 0.5, "new": 0.1})
    results = ranked([Scored(1, 0.8), Scored(0, 0.6), Scored(2, 0.4)], documents, blend, None)
    assert {one.document: one.score for one in results} == pytest.approx(
        {
            "a": (0.75 * 0.6 + 0.25 * 0.0) * 1.5,
            "b": 0.75 * 0.8 + 0.25 * 1.0,
            "c": (0.75 * 0.4 + 0.25 * 0.5) * 1.6,
        }
    )
    assert [one.document for one in results] == ["b", "c", "a"]
    assert [one.relevance_score for one in results] == [0.8, 0.4, 0.6]
    assert [one.first_stage_score for one in results] == [30.0, 20.0, 10.0]


@given(ROWS, st.integers(1, 25))
def test_without_a_blend_the_server_order_stays(
    rows: list[tuple[float, float, bool]], top_n: int
) -> None:
    results = ranked(scored(rows), candidates(rows), Blend(), top_n)
    assert [one.index for one in results] == [one.index for one in scored(rows)][:top_n]
    assert all(one.score == one.relevance_score == rows[one.index][0] for one in results)
    assert all(one.document == f"d{one.index}" for one in results)


@given(ROWS)
def test_the_first_stage_alone_decides_with_weight_one(
    rows: list[tuple[float, float, bool]],
) -> None:
    results = ranked(scored(rows), candidates(rows), Blend(1.0), None)
    assert all(0 <= one.score <= 1 for one in results)
    assert [one.score for one in results] == sorted((one.score for one in results), reverse=True)
    for one, two in pairwise(results):  # rounding may join two, never swap them
        assert rows[one.index][1] >= rows[two.index][1] or one.score == two.score


@given(ROWS, st.floats(0, 1), st.floats(0, 10))
def test_a_boost_never_lowers_and_touches_only_what_is_set(
    rows: list[tuple[float, float, bool]], weight: float, boost: float
) -> None:
    documents = candidates(rows)
    plain = {one.index: one for one in ranked(scored(rows), documents, Blend(weight), None)}
    boosted = ranked(scored(rows), documents, Blend(weight, {"official": boost}), None)
    for one in boosted:
        if rows[one.index][2]:
            assert one.score == plain[one.index].score * (1 + boost)
        else:
            assert one.score == plain[one.index].score
        assert one.relevance_score == plain[one.index].relevance_score


def test_equal_scores_keep_the_order_of_the_model() -> None:
    documents = [Candidate("a", "a"), Candidate("b", "b")]
    results = ranked([Scored(1, 1.0), Scored(0, 1.0)], documents, Blend(0.0, {"x": 1.0}), None)
    assert [one.index for one in results] == [1, 0]


def test_equal_first_stage_scores_say_nothing() -> None:
    documents = [Candidate("a", "a", {}, 5.0), Candidate("b", "b", {}, 5.0)]
    results = ranked([Scored(1, 0.8), Scored(0, 0.4)], documents, Blend(0.5), None)
    assert [one.score for one in results] == [0.4, 0.2]


def test_senseless_weights_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="from 0 to 1"):
        Blend(1.5).check([])
    with pytest.raises(InvalidRequest, match=r"documents\[1\] has no first-stage score"):
        Blend(0.5).check([Candidate("a", "a", {}, 1.0), Candidate("b", "b")])
    Blend(0.0).check([Candidate("b", "b")])
