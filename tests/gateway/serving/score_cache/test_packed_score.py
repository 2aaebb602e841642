"""Packed scores: every field comes back, the margin in its fp32 bits."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.domain.request import Calibration, Scored
from gateway.serving.score_cache.packed_score import pack, unpack

_COUNT = st.integers(0, 2**32 - 1)


@given(
    st.floats(width=32, allow_nan=False),
    _COUNT,
    st.booleans(),
    _COUNT,
    st.none() | st.tuples(_COUNT, _COUNT),
)
def test_a_packed_score_comes_back(
    margin: float, tokens: int, truncated: bool, passages: int, span: tuple[int, int] | None
) -> None:
    score = Scored(0, margin, tokens, truncated, passages, span, source="memory")
    assert unpack(pack(score)) == score


def test_a_score_becomes_that_of_a_document_of_another_request() -> None:
    scored = Scored(7, -1.5, 12, True, 3, (4, 9), Calibration(2.0, 1.0))
    again = structs.replace(unpack(pack(scored)), index=2, calibration=Calibration(3.0))
    assert again == Scored(2, -1.5, 12, True, 3, (4, 9), Calibration(3.0), "memory")


@pytest.mark.parametrize("size", [0, 20, 22])
def test_other_bytes_are_no_score(size: int) -> None:
    with pytest.raises(struct.error):
        unpack(bytes(size))
