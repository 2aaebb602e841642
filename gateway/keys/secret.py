"""A key as the client has it: `rk_ID_SECRET`, shown once, kept nowhere.

The id is for people and logs; it is no secret. The form lets scanners for leaked secrets find keys.
"""

import hashlib
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that reads like something else
_ID_LETTERS = 8
_SECRET_BYTES = 32
HASH_PREFIX = "sha256:"


def new_id() -> str:
    """Return an id for a key."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LETTERS))


def new_secret(id_: str) -> str:
    """Return a key with this id."""
    return f"rk_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def digest(secret: str) -> str:
    """Return what is kept of a key."""
    return HASH_PREFIX + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def claimed_id(secret: str) -> str:
    """Return the id that a key names, whether it is its own or not; empty if it names none."""
    parts = secret.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "rk" else ""
