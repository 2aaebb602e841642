"""Agreement of rankings, compared with the definitions pair by pair."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.rank_correlation import kendall_tau, order, overlap_at_k, spearman_rho, top1

FEW_VALUES = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 7.0])  # so that ties are common
TWO_RANKINGS = st.lists(st.tuples(FEW_VALUES, FEW_VALUES), max_size=12)


def by_definition(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return tau-b by its definition: concordant less discordant pairs over the untied ones."""
    sign = untied_first = untied_second = 0
    for i in range(len(first)):
        for j in range(i):
            a = (first[i] > first[j]) - (first[i] < first[j])
            b = (second[i] > second[j]) - (second[i] < second[j])
            sign, untied_first, untied_second = (
                sign + a * b,
                untied_first + abs(a),
                untied_second + abs(b),
            )
    untied = math.sqrt(untied_first) * math.sqrt(untied_second)
    return sign / untied if untied else None


@given(TWO_RANKINGS)
def test_kendall_tau_is_its_definition(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    expected = by_definition(first, second)
    found = kendall_tau(first, second)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)), max_size=60))
def test_kendall_tau_of_longer_lists(pairs: list[tuple[int, int]]) -> None:
    first, second = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    expected = by_definition(first, second)
    found = kendall_tau(first, second)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize(
    ("first", "second", "tau", "rho"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0, 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0, -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 4 / 6, 0.8),
        # from scipy.stats.kendalltau and spearmanr
        ([12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.4714045207910316, -0.5407380704358752),
    ],
)
def test_known_figures(first: list[float], second: list[float], tau: float, rho: float) -> None:
    assert kendall_tau(first, second) == pytest.approx(tau)
    assert spearman_rho(first, second) == pytest.approx(rho)


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1, 2], [5, 5])]
)
def test_without_an_order_there_is_no_correlation(first: list[float], second: list[float]) -> None:
    assert kendall_tau(first, second) is None
    assert spearman_rho(first, second) is None


def test_top1_and_overlap_look_at_the_best() -> None:
    first, second = [0.9, 0.8, 0.1, 0.0], [5.0, -1.0, 2.0, -7.0]
    assert top1(first, second)
    assert not top1(first, [-1.0, 5.0, 2.0, -7.0])
    assert overlap_at_k(first, second, 1) == 1.0
    assert overlap_at_k(first, second, 2) == 0.5
    assert overlap_at_k(first, [5.0, -1.0, 2.0, 3.0], 3) == pytest.approx(2 / 3)
    assert overlap_at_k(first, second, 10) == 1.0
    assert overlap_at_k([], [], 10) == 1.0


def test_the_first_of_equal_documents_is_the_better_one() -> None:
    assert order([1.0, 3.0, 3.0, 2.0]) == [1, 2, 3, 0]
    assert top1([3.0, 3.0], [4.0, 1.0])
    assert not top1([3.0, 3.0], [1.0, 4.0])


def test_scores_that_cannot_be_compared_raise() -> None:
    with pytest.raises(ValueError, match="2 scores cannot be compared with 1"):
        kendall_tau([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="not a number"):
        top1([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least 1 document, not 0"):
        overlap_at_k([1.0], [1.0], 0)
