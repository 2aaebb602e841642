"""All keys of a gateway, found by their secrets. Pure.

The secret is hashed, and the hash is looked up. The time of the look-up can depend on the hash, but
reveals nothing of any key: to come near the hash of a key, an attacker would have to know the key.
The comparison that decides takes constant time.
"""

import hmac
from collections.abc import Sequence

from gateway.http.keys.key import Key
from gateway.http.keys.secret import HASH_PREFIX, claimed_id, digest

_NO_HASH = HASH_PREFIX + 64 * "0"


class KeyRing:
    """Keys, found by their secrets.

    Attributes:
        keys: all keys in the order of the file, also expired and revoked ones.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._by_hash = {key.hash: key for key in keys}
        self._ids = frozenset(key.id for key in keys)

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, in whatever state; `None` if no key has it."""
        asked = digest(secret)
        key = self._by_hash.get(asked)
        is_right = hmac.compare_digest(asked, key.hash if key else _NO_HASH)
        return key if is_right else None

    def claimed_id(self, secret: str) -> str:
        """Return the id that a wrong secret claims, if a key has it; for the log only."""
        id_ = claimed_id(secret)
        return id_ if id_ in self._ids else ""
