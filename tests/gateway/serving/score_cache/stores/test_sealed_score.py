"""Sealed scores: only the bytes that were sealed for a pair are its score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.score_cache.stores.sealed_score import Damaged, Kept, seal, unseal

KEY, EPOCH, SECRET = b"k" * 16, b"epoch 01", b"secret"
KEPT = Kept(b"p" * 21, 1_700_000_000)
SEALED = seal(KEY, KEPT, EPOCH, SECRET)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_a_sealed_score_comes_back(packed: bytes, made: int) -> None:
    kept = Kept(packed, made)
    assert unseal(KEY, seal(KEY, kept, EPOCH, SECRET), SECRET) == (EPOCH, kept)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(place: int, change: int) -> None:
    damaged = bytearray(SEALED)
    damaged[place] ^= change
    with pytest.raises(Damaged):
        unseal(KEY, bytes(damaged), SECRET)


@pytest.mark.parametrize("other", [b"", b"x", SEALED[:-1], SEALED + b"x", bytes(200), SEALED[:20]])
def test_other_bytes_are_no_score(other: bytes) -> None:
    with pytest.raises(Damaged):
        unseal(KEY, other, SECRET)


def test_the_score_of_another_pair_or_secret_is_none() -> None:
    for key, secret in ((b"l" * 16, SECRET), (KEY, b"another")):
        with pytest.raises(Damaged):
            unseal(key, SEALED, secret)
