"""The cost of a text, estimated from its bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import LongDocuments
from gateway.scheduling.token_estimate import TokenEstimate


def _estimate(prompt_tokens: int = 60) -> TokenEstimate:
    return TokenEstimate(prompt_tokens=prompt_tokens)


def test_the_density_of_the_texts_is_learnt() -> None:
    estimate = _estimate()
    for _ in range(100):
        estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=600 + 1500)
    assert estimate.tokens(1000) == pytest.approx(60 + 150, rel=0.02)


def test_the_first_answer_counts_whole_and_later_ones_less_and_less() -> None:
    """So that a few requests after a start the rest is not cut into too many jobs."""
    estimate = _estimate()
    estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=600 + 1500)
    assert estimate.tokens(1000) == 60 + 150
    estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=600 + 2500)
    assert estimate.tokens(1000) == 60 + 200
    for _ in range(50):
        estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=600 + 2000)
    estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=600 + 3000)
    assert estimate.tokens(1000) == 60 + 210


def test_shared_tokens_do_not_change_the_density() -> None:
    estimate = TokenEstimate(prompt_tokens=10, shared_tokens=50)
    estimate = estimate.learn(pairs=10, text_bytes=10_000, tokens=10 * (50 + 10) + 2000)
    assert (estimate.tokens(1000), estimate.text_tokens(1000)) == (10 + 200, 200)


def test_tiny_requests_do_not_make_long_ones_expensive() -> None:
    estimate = _estimate()
    before = estimate.tokens(500)
    for _ in range(1000):
        estimate = estimate.learn(pairs=2, text_bytes=6, tokens=2 * 63)
    assert estimate.tokens(500) < 4 * before


def test_a_pair_never_costs_more_than_the_model_reads() -> None:
    estimate = replace(_estimate(), max_length=512)
    assert estimate.tokens(1_000_000) == 512


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_density_stays_in_its_bounds(jobs: list[tuple[int, int, int]]) -> None:
    estimate = _estimate()
    for pairs, text_bytes, tokens in jobs:
        estimate = estimate.learn(pairs=pairs, text_bytes=text_bytes, tokens=tokens)
    assert 60 + 1000 * 0.02 - 1 <= estimate.tokens(1000) <= 60 + 1500


def _in_passages(estimate: TokenEstimate, document_bytes: int, **reading: int) -> int:
    return estimate.tokens_in_passages(
        asked_bytes=100,
        document_bytes=document_bytes,
        reading=LongDocuments(policy="passages", **reading),
    )


def test_a_long_document_costs_its_passages() -> None:
    estimate = _estimate(prompt_tokens=20)
    assert _in_passages(estimate, 1_000_000) == 20 + 30 + 300_000  # the limit is unknown yet
    estimate = replace(estimate, max_length=562)
    assert _in_passages(estimate, 100) == 20 + 30 + 30
    assert _in_passages(estimate, 10_000, passage_overlap=0) == 6 * 562
    assert _in_passages(estimate, 10_000, passage_overlap=256) == 11 * 562
    assert _in_passages(estimate, 10_000, most_passages=2) == 2 * 562
    assert _in_passages(estimate, 10_000, passage_tokens=100, passage_overlap=0) == 30 * 150


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 500), st.integers(0, 500))
def test_the_cost_of_passages_has_a_bound(
    asked_bytes: int, document_bytes: int, tokens: int, overlap: int
) -> None:
    estimate = replace(_estimate(), max_length=512)
    reading = LongDocuments(policy="passages", passage_tokens=tokens, passage_overlap=overlap)
    cost = estimate.tokens_in_passages(
        asked_bytes=asked_bytes, document_bytes=document_bytes, reading=reading
    )
    assert cost <= 512 * (2 + document_bytes)
    assert cost >= min(512, int(document_bytes * 0.3))
