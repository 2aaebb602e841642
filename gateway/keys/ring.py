"""All keys of a gateway: from a secret to its key. Pure.

The secret is hashed, and the hash looked up. How long that takes can depend on the hash, but says
nothing of any key: to come near another key's hash one would have to know that key. The comparison
that decides takes the same time for all.
"""

import hmac
from collections.abc import Sequence

from gateway.keys.key import Key
from gateway.keys.secret import HASH_PREFIX, claimed_id, digest

_NOBODY = HASH_PREFIX + 64 * "0"


class KeyRing:
    """Keys, found by their secrets.

    Attributes:
        keys: all of them, in the order of the file; the expired and revoked, too.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._by_hash = {key.hash: key for key in keys}
        self._ids = frozenset(key.id for key in keys)

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, whatever its state; `None` if there is none."""
        asked = digest(secret)
        key = self._by_hash.get(asked)
        is_right = hmac.compare_digest(asked, key.hash if key else _NOBODY)
        return key if is_right else None

    def meant(self, secret: str) -> str:
        """Return the id that a wrong secret names, if one of ours has it; for the log, no proof."""
        id_ = claimed_id(secret)
        return id_ if id_ in self._ids else ""
