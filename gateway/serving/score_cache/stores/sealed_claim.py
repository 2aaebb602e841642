"""A claim in the bytes of a store: the gateway that computes a score now, and a checksum. Pure.

A claim stands in the place of the score, which replaces it. The checksum has the secret of the
cache and covers the key, as that of a score does: bytes of another program are no claim.
"""

import hashlib

HOLDER_BYTES = 8
_CHECKSUM_BYTES = 8
_PERSON = b"sealed claim"


def seal_claim(key: bytes, holder: bytes, secret: bytes) -> bytes:
    """Return the bytes of a claim.

    Args:
        key: the key of its pair.
        holder: the random name of the gateway that computes the score.
        secret: at most 64 bytes.
    """
    return holder + _checksum(key, holder, secret)


def holder_of(key: bytes, sealed: bytes, secret: bytes) -> bytes | None:
    """Return the holder of a claim, or `None` if the bytes are no claim on this pair."""
    holder, checksum = sealed[:HOLDER_BYTES], sealed[HOLDER_BYTES:]
    if len(sealed) != HOLDER_BYTES + _CHECKSUM_BYTES:
        return None
    return holder if checksum == _checksum(key, holder, secret) else None


def _checksum(key: bytes, holder: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(
        key + holder, digest_size=_CHECKSUM_BYTES, key=secret, person=_PERSON
    ).digest()
