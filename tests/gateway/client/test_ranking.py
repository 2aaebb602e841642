"""The ranking formula, on any numbers."""

import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import InvalidRequest
from gateway.client.candidates import Candidate
from gateway.client.ranking import Blend, Ranked, Ranking, ranked
from gateway.client.wire import Details, Scored

SCORES = st.floats(0, 1)
FIRST = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(SCORES, FIRST, st.booleans()), min_size=1, max_size=20)


def candidates(rows: list[tuple[float, float, bool]]) -> list[Candidate]:
    return [
        Candidate(f"d{i}", f"d{i}", {"official": official}, first)
        for i, (_, first, official) in enumerate(rows)
    ]


def scored(rows: list[tuple[float, float, bool]]) -> list[Scored]:
    """Return the results in a server's order: best first, ties by index."""
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
    assert {result.document: result.score for result in results} == pytest.approx(
        {
            "a": (0.75 * 0.6 + 0.25 * 0.0) * 1.5,
            "b": 0.75 * 0.8 + 0.25 * 1.0,
            "c": (0.75 * 0.4 + 0.25 * 0.5) * 1.6,
        }
    )
    assert [result.document for result in results] == ["b", "c", "a"]
    assert [result.relevance_score for result in results] == [0.8, 0.4, 0.6]
    assert [result.first_stage_score for result in results] == [30.0, 20.0, 10.0]


@given(ROWS, st.integers(1, 25))
def test_without_a_blend_the_server_order_stays(
    rows: list[tuple[float, float, bool]], top_n: int
) -> None:
    results = ranked(scored(rows), candidates(rows), Blend(), top_n)
    assert [result.index for result in results] == [result.index for result in scored(rows)][:top_n]
    assert all(
        result.score == result.relevance_score == rows[result.index][0] for result in results
    )
    assert all(result.document == f"d{result.index}" for result in results)


@given(ROWS)
def test_the_first_stage_alone_decides_with_weight_one(
    rows: list[tuple[float, float, bool]],
) -> None:
    results = ranked(scored(rows), candidates(rows), Blend(1.0), None)
    assert all(0 <= result.score <= 1 for result in results)
    assert [result.score for result in results] == sorted(
        (result.score for result in results), reverse=True
    )
    for result, following in pairwise(results):  # rounding may join two, never swap them
        assert rows[result.index][1] >= rows[following.index][1] or result.score == following.score


@given(ROWS, st.floats(0, 1), st.floats(0, 10))
def test_a_boost_never_lowers_and_touches_only_what_is_set(
    rows: list[tuple[float, float, bool]], weight: float, boost: float
) -> None:
    documents = candidates(rows)
    plain = {
        result.index: result for result in ranked(scored(rows), documents, Blend(weight), None)
    }
    boosted = ranked(scored(rows), documents, Blend(weight, {"official": boost}), None)
    for result in boosted:
        if rows[result.index][2]:
            assert result.score == plain[result.index].score * (1 + boost)
        else:
            assert result.score == plain[result.index].score
        assert result.relevance_score == plain[result.index].relevance_score


def test_equal_scores_keep_the_order_of_the_model() -> None:
    documents = [Candidate("a", "a"), Candidate("b", "b")]
    results = ranked([Scored(1, 1.0), Scored(0, 1.0)], documents, Blend(0.0, {"x": 1.0}), None)
    assert [result.index for result in results] == [1, 0]


def test_equal_first_stage_scores_count_as_zero() -> None:
    documents = [Candidate("a", "a", {}, 5.0), Candidate("b", "b", {}, 5.0)]
    results = ranked([Scored(1, 0.8), Scored(0, 0.4)], documents, Blend(0.5), None)
    assert [result.score for result in results] == [0.4, 0.2]


def test_invalid_weights_are_rejected() -> None:
    with pytest.raises(InvalidRequest, match="from 0 to 1"):
        Blend(1.5).check([])
    with pytest.raises(InvalidRequest, match=r"documents\[1\] has no first-stage score"):
        Blend(0.5).check([Candidate("a", "a", {}, 1.0), Candidate("b", "b")])
    Blend(0.0).check([Candidate("b", "b")])


def test_a_ranking_becomes_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    details = Details(margin=2.0, tokens=9, truncated=False, passages=1, span=(0, 3))
    results = (
        Ranked(1, "yes", 0.9, 0.8, 4.0, details),
        Ranked(0, {"text": "no"}, 0.1, 0.1, 2.0, replace(details, span=None)),
    )
    ranking = Ranking(results, "m", 18, ("id",))
    first, second = ranking.to_list()
    assert first == {
        "index": 1, "relevance_score": 0.9, "score": 0.8, "first_stage_score": 4.0, "margin": 2.0,
        "tokens": 9, "truncated": False, "passages": 1, "start": 0, "end": 3, "document": "yes",
    }  # fmt: skip
    assert (second["start"], second["document"]) == (None, {"text": "no"})
    assert [*Ranking((Ranked(0, "x", 0.5, 0.5),), "m", 1, ()).to_list()[0]] == [
        *("index", "relevance_score", "score", "document")
    ]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        ranking.to_pandas()


def test_a_ranking_becomes_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = Ranking((Ranked(1, "yes", 0.9, 0.9), Ranked(0, "no", 0.1, 0.1)), "m", 2, ()).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["document"].tolist() == ["yes", "no"]
    assert Ranking((), "m", 0, ()).to_pandas().empty
