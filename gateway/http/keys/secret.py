"""A key as the client has it: `rk_ID_SECRET`, shown once, stored nowhere.

The id is for people and logs; it is not secret. Scanners for leaked secrets find keys by this form.
"""

import hashlib
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no letter or digit that looks like another
_ID_LETTERS = 8
_SECRET_BYTES = 32
HASH_PREFIX = "sha256:"


def new_id() -> str:
    """Return a random id for a key."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LETTERS))


def new_secret(id_: str) -> str:
    """Return a random key with this id."""
    return f"rk_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def digest(secret: str) -> str:
    """Return the hash of a key, which is stored in its place."""
    return HASH_PREFIX + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def claimed_id(secret: str) -> str:
    """Return the id in the text of a key, not verified; empty if there is none."""
    parts = secret.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "rk" else ""
