"""The score cache of a configuration, with the stores behind it."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from gateway.config import ConfigError, Problem, Settings
from gateway.config.redis_url import parse_redis_url
from gateway.serving.score_cache.build import build_of
from gateway.serving.score_cache.score_cache import ScoreCache
from gateway.serving.score_cache.stores.backend import Backend, ClaimingBackend
from gateway.serving.score_cache.stores.claims import Claims
from gateway.serving.score_cache.stores.disk import DiskBackend
from gateway.serving.score_cache.stores.redis import RedisBackend
from gateway.serving.score_cache.stores.score_store import ScoreStore
from gateway.serving.score_cache.stores.secret import configured_secret, own_secret
from gateway.serving.score_cache.stores.unusable import UnusableBackend

DISK_READ_SECONDS = 0.001
"""The longest time that a request waits for scores on disk before it computes them."""

DISK_ANSWER_SECONDS = 0.02
"""The time that a read has in all: on a busy machine its thread waits for its turn."""

SHARED_READ_SECONDS = 0.005
"""The longest time that a request waits for scores that gateways have in common."""


def score_cache_of(settings: Settings) -> ScoreCache:
    """Return the score cache of the settings; its stores are opened when it runs.

    Raises:
        ConfigError: the file of the secret cannot be used, or a package is missing.
    """
    secret, problem = _secret(settings)
    stores, claims = _stores(settings, secret, problem)
    if stores:
        build_of("cpu")  # reads files, before the event loop is there
    return ScoreCache(settings.score_cache_mb, settings.score_cache_seconds, stores, secret, claims)


def _secret(settings: Settings) -> tuple[bytes, str]:
    """Return the secret of the keys, and the reason why it cannot be that of the disk."""
    if settings.score_cache_secret_file:
        return configured_secret(settings.score_cache_secret_file), ""
    problem = ""
    if path := settings.score_cache_path:
        try:
            return own_secret(path.with_name(path.name + ".secret")), ""
        except OSError as error:  # a cache without its disk is no reason not to serve
            problem = str(error)
    return secrets.token_bytes(32), problem


def _stores(
    settings: Settings, secret: bytes, problem: str
) -> tuple[Sequence[ScoreStore], Claims | None]:
    """Return the stores, the fastest first, and the claims in the one that gateways share."""
    seconds, stores = settings.score_cache_seconds, []
    if path := settings.score_cache_path:
        disk = ScoreStore(
            _disk(path, settings.score_cache_disk_mb, problem),
            "disk",
            secret=secret,
            seconds=seconds,
            read_seconds=DISK_READ_SECONDS,
            answer_seconds=DISK_ANSWER_SECONDS,
        )
        stores.append(disk)
    if not (url := settings.score_cache_url):
        return stores, None
    backend = _shared(url.get_secret_value())
    shared = ScoreStore(
        backend, "shared", secret=secret, seconds=seconds, read_seconds=SHARED_READ_SECONDS
    )
    return [*stores, shared], Claims(shared, backend, secret)


def _disk(path: Path, megabytes: int, problem: str) -> Backend:
    return UnusableBackend(str(path), problem) if problem else DiskBackend(path, megabytes)


def _shared(url: str) -> ClaimingBackend:
    try:
        return RedisBackend(parse_redis_url(url))
    except ImportError as error:
        message = f"it needs redis-py ({error.name} is missing)"
        remedy = (
            "pip install 'rerank-gateway[redis]', or in a checkout .venv/bin/pip install -c "
            "scripts/constraints.txt redis"
        )
        raise ConfigError(
            [Problem(path=("score_cache_url",), message=message, remedy=remedy)]
        ) from None
