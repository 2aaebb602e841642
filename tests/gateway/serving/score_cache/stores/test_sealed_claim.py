"""Claims in bytes: only the gateway's own secret and the pair's own key make one."""

import pytest

from gateway.serving.score_cache.stores.sealed_claim import holder_of, seal_claim
from gateway.serving.score_cache.stores.sealed_score import Damaged, Kept, seal, unseal

KEY, OTHER, HOLDER, SECRET = b"k" * 16, b"o" * 16, b"h" * 8, b"secret"
CLAIM = seal_claim(KEY, HOLDER, SECRET)


def test_a_claim_names_its_holder() -> None:
    assert holder_of(KEY, CLAIM, SECRET) == HOLDER


@pytest.mark.parametrize(
    ("key", "sealed", "secret"),
    [
        (OTHER, CLAIM, SECRET),
        (KEY, CLAIM, b"another"),
        (KEY, CLAIM[:-1], SECRET),
        (KEY, CLAIM + b"x", SECRET),
        (KEY, b"", SECRET),
        (KEY, b"x" * 16, SECRET),
        (KEY, seal(KEY, Kept(b"score", 1), b"e" * 8, SECRET), SECRET),
    ],
)
def test_other_bytes_are_no_claim(key: bytes, sealed: bytes, secret: bytes) -> None:
    assert holder_of(key, sealed, secret) is None


def test_a_claim_is_no_score() -> None:
    with pytest.raises(Damaged):
        unseal(KEY, CLAIM, SECRET)
