"""The secret of the keys of kept scores: from a file that gateways share, or one of its own."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from gateway.config import ConfigError, Problem, reading

_BYTES = 32
_MOST_BYTES = 64  # BLAKE2 takes no longer key


def configured_secret(file: Path) -> bytes:
    """Return the secret in a file of the operator.

    Raises:
        ConfigError: it cannot be read, or is too short.
    """
    try:
        with reading(file):
            secret = file.read_bytes().strip()
    except OSError as error:
        raise _error(f"{file} cannot be read ({error.strerror})") from None
    if len(secret) < _BYTES:
        raise _error(f"{file} has {len(secret)} bytes, fewer than {_BYTES}")
    return secret if len(secret) <= _MOST_BYTES else hashlib.blake2b(secret).digest()


def _error(message: str) -> ConfigError:
    remedy = "Make one, for all gateways that share scores: openssl rand -hex 32 > FILE"
    return ConfigError([Problem(path=("score_cache_secret_file",), message=message, remedy=remedy)])


def own_secret(file: Path) -> bytes:
    """Return the secret in a file; it is made there, mode 0600, if it is missing.

    Raises:
        OSError: it can be neither read nor made.
    """
    if not file.exists():
        new = file.with_name(f"{file.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
        try:
            with contextlib.suppress(FileExistsError):  # of another gateway: that one holds
                os.link(new, file)
        finally:
            new.unlink()
    secret = file.read_bytes()
    if len(secret) != _BYTES:
        raise OSError(f"{file} is not a secret of scores: it has {len(secret)} bytes, not {_BYTES}")
    return secret
