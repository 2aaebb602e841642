"""Agreement of two number formats: what counts, and what it decides."""

import math

import pytest

from shards.engines.agreement import LEAST_SPEARMAN, Agreement, compare, margins_of_known_pairs
from shards.engines.fake import FakeEncoder
from shards.pairs import Batch

FIRST = [float(at * 7 % 27) for at in range(27)]  # nine queries with three documents


def test_the_same_margins_agree() -> None:
    found = compare(FIRST, FIRST)
    assert (found.pairs, found.queries, found.same_best) == (27, 9, 9)
    assert found.spearman == pytest.approx(1.0)
    assert found.largest == 0.0
    assert found.suffices


def test_order_counts_and_not_size() -> None:
    found = compare(FIRST, [3 * margin - 5 for margin in FIRST])
    assert found.spearman == pytest.approx(1.0)
    assert found.largest == pytest.approx(47.0)
    assert found.suffices


def test_another_best_document_is_told() -> None:
    swapped = [*FIRST[:3][::-1], *FIRST[3:]]
    found = compare(FIRST, swapped)
    assert found.same_best == 8
    assert not found.suffices


def test_noise_within_a_query_costs_spearman() -> None:
    found = compare(FIRST, [margin + 4 * math.sin(9 * margin) for margin in FIRST])
    assert found.spearman < LEAST_SPEARMAN
    assert not found.suffices


def test_ties_share_their_rank() -> None:
    assert compare(FIRST, [0.0] * 27).spearman == 0.0
    halves = [0.0 if margin < 13 else 1.0 for margin in FIRST]
    assert compare(halves, [5 * margin for margin in halves]).spearman == pytest.approx(1.0)


def agreement(spearman: float, same_best: int) -> Agreement:
    return Agreement(pairs=27, spearman=spearman, queries=9, same_best=same_best, largest=0.1)


def test_both_measures_must_be_met() -> None:
    assert agreement(0.995, 9).suffices
    assert not agreement(0.9949, 9).suffices
    assert not agreement(1.0, 8).suffices
    assert "Spearman 0.9950 over 27 known pairs" in str(agreement(0.995, 9))


def test_all_known_pairs_are_scored_in_one_batch() -> None:
    batches: list[Batch] = []

    def score(batch: Batch) -> list[float]:
        batches.append(batch)
        return [float(len(pair)) for pair in batch]

    assert len(margins_of_known_pairs(FakeEncoder(8192), score)) == 27
    assert len(batches) == 1
