"""Keys for tests: a file, and their secrets, which the file does not have."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.http.keys import Key
from gateway.http.keys.secret import digest, new_secret
from gateway.http.keys.text import with_key

PAST = datetime(2020, 1, 31, 12, 30, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


def made(id_: str, **fields: Any) -> tuple[str, Key]:
    """Return a secret and its key."""
    secret = new_secret(id_)
    return secret, Key(**{"id": id_, "hash": digest(secret), **fields})


def write_keys(path: Path, **keys: dict[str, Any]) -> dict[str, str]:
    """Write a file of keys; return their secrets by id."""
    secrets, text = {}, ""
    for id_, fields in keys.items():
        secrets[id_], key = made(id_, **fields)
        text = with_key(text, key)
    path.write_text(text)
    path.chmod(0o600)
    return secrets


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
