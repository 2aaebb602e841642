"""The result of a cascade: documents of the second model first, the others below in their order."""

import math
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import CascadeSpec
from gateway.domain.request import Calibration, Document, RerankRequest, RerankResult, Scored
from gateway.serving.cascade import kept_by, merged
from gateway.serving.scatter_gather import rank

SPEC = CascadeSpec(name="deep", default=False, first="small", then="large", keep=3)
MARGINS = st.floats(-60, 60, width=32)


def scored(margins: Sequence[float], **fields: object) -> tuple[Scored, ...]:
    return tuple(
        Scored(index, margin, 10, truncated=False, **fields)  # type: ignore[arg-type] # by tests
        for index, margin in enumerate(margins)
    )


def result(model: str, found: tuple[Scored, ...], **fields: object) -> RerankResult:
    return RerankResult(
        id="rerank-1",
        model=model,
        scored=found,
        top=rank(found, None),
        processing_seconds=1.0,
        created=0,
        **fields,  # type: ignore[arg-type] # by tests
    )


def request(documents: int, **fields: object) -> RerankRequest:
    texts = tuple(Document(f"text {number}") for number in range(documents))
    return RerankRequest(queries=("q",), documents=texts, **fields)  # type: ignore[arg-type]


def in_stages(
    first: Sequence[float], then: Sequence[float], top_n: int | None = None
) -> RerankResult:
    every = result("small", scored(first))
    kept = kept_by(every.top, SPEC.keep, None)
    best = result("large", scored([then[index] for index in kept]))
    return merged(SPEC, every, best, kept, request(len(first), top_n=top_n))


@given(st.lists(st.tuples(MARGINS, MARGINS), min_size=SPEC.keep + 1, max_size=12))
def test_the_others_follow_below_in_the_order_of_the_first_model(
    margins: list[tuple[float, float]],
) -> None:
    first, then = zip(*margins, strict=True)
    found = in_stages(first, then)
    again = [one for one in found.scored if one.stage == "large"]
    others = [one for one in found.scored if one.stage == "small"]
    assert (len(again), len(others)) == (3, len(first) - 3)
    assert [one.index for one in found.scored] == list(range(len(first)))
    assert all(one.margin == then[one.index] for one in again)
    assert max(one.margin for one in others) < min(one.margin for one in again)
    for better, worse in pairwise(sorted(others, key=lambda one: -first[one.index])):
        assert better.margin >= worse.margin
        assert (better.margin > worse.margin) == (first[better.index] > first[worse.index])
    assert [one.index for one in found.top[:3]] == [
        one.index for one in sorted(again, key=lambda one: (-one.margin, one.index))
    ]


def test_scores_are_those_of_the_calibration_of_the_second_model() -> None:
    then = Calibration(slope=0.5, intercept=-1.0)
    every = result("small", scored([4.0, 3.0, 2.0, 1.0], calibration=Calibration(2.0)))
    best = result("large", scored([0.0, 6.0, 3.0], calibration=then))
    found = merged(SPEC, every, best, (0, 1, 2), request(4))
    assert {one.calibration for one in found.scored} == {then}
    probability = 1 / (1 + math.exp(-2.0))
    assert math.isclose(found.scored[3].margin, 0.0 - 1.0 + math.log(probability))


def test_the_tokens_of_both_stages_count() -> None:
    every = result("small", scored([4.0, 3.0, 2.0, 1.0]), saved_tokens=5, sources={"computed": 4})
    best = result("large", scored([1.0, 2.0, 3.0]), saved_tokens=7, sources={"memory": 3})
    found = merged(SPEC, every, best, (0, 1, 2), request(4))
    assert [one.tokens for one in found.scored] == [20, 20, 20, 10]
    assert (found.tokens, found.saved_tokens) == (70, 12)
    assert found.sources == {"computed": 4, "memory": 3}
    assert found.processing_seconds == 2.0


def test_a_document_that_one_of_them_cut_is_truncated() -> None:
    first = [Scored(0, 2.0, 1, truncated=True), Scored(1, 1.0, 1, truncated=False)]
    every = result("small", tuple(first), warnings=("1 of 2 documents were truncated",))
    best = result("large", scored([0.5]))
    found = merged(SPEC, every, best, (0,), request(2))
    assert [one.truncated for one in found.scored] == [True, False]
    assert found.warnings[1] == "'small': 1 of 2 documents were truncated"


def test_results_that_only_the_first_model_scored_are_reported_where_they_are_shown() -> None:
    margins = [5.0, 4.0, 3.0, 2.0, 1.0]
    shown = in_stages(margins, margins, top_n=4).warnings[0]
    assert shown == (
        "'deep' is a cascade here: 'small' ordered 5 documents, 'large' scored the best 3, and 1 "
        "results follow in the order of 'small'"
    )
    assert "follow" not in in_stages(margins, margins, top_n=3).warnings[0]


def test_documents_within_a_distance_of_the_best_are_kept() -> None:
    ranked = rank(scored([1.0, 9.0, 8.5, 8.0, 2.0]), None)
    assert kept_by(ranked, 3, None) == (1, 2, 3)
    assert kept_by(ranked, 3, 0.5) == (1, 2)
    assert kept_by(ranked, 2, 5.0) == (1, 2)
    assert kept_by(ranked, 9, 100.0) == (1, 2, 3, 4, 0)
