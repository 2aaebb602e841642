"""A score in the bytes of a store: its epoch, its time, the packed score and a checksum. Pure.

The checksum has the secret of the cache and covers the key. So bytes that another program has
written, that were damaged, or that belong to another pair are no score.
"""

import hashlib
from struct import Struct
from typing import NamedTuple

EPOCH_BYTES = 8
_CHECKSUM_BYTES = 8
_HEAD = Struct(f"<{EPOCH_BYTES}sI")
_PERSON = b"sealed score"


class Kept(NamedTuple):
    """A score that was computed at a time.

    Attributes:
        packed: see `packed_score`.
        made: seconds since the Unix epoch.
    """

    packed: bytes
    made: int


class Damaged(Exception):
    """The bytes are not those of this pair's score."""


def seal(key: bytes, kept: Kept, epoch: bytes, secret: bytes) -> bytes:
    """Return the bytes of a score for a store.

    Args:
        key: the key of its pair.
        kept: the score.
        epoch: the epoch of the model in that store.
        secret: at most 64 bytes.
    """
    body = _HEAD.pack(epoch, kept.made) + kept.packed
    return body + _checksum(key, body, secret)


def unseal(key: bytes, sealed: bytes, secret: bytes) -> tuple[bytes, Kept]:
    """Return the epoch and the score in the bytes of a store.

    Raises:
        Damaged: they are not the bytes that `seal` has made for this key and secret.
    """
    body, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
    if len(body) <= _HEAD.size or checksum != _checksum(key, body, secret):
        raise Damaged
    epoch, made = _HEAD.unpack_from(body)
    return epoch, Kept(body[_HEAD.size :], made)


def _checksum(key: bytes, body: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(
        key + body, digest_size=_CHECKSUM_BYTES, key=secret, person=_PERSON
    ).digest()
