"""The store that gateways have in common: Redis or Valkey.

A read is one MGET of the epoch and all keys (one for each slot, in a pipeline, in a cluster). All
writes have a lifetime. Keys begin with `PREFIX`, whose number changes with the form of the values.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.config.redis_url import RedisTarget
from gateway.serving.score_cache.stores.backend import Entry, StoreFailed, StoreFull, Usage
from gateway.serving.score_cache.stores.redis_clients import (
    CONNECTIONS,
    cluster_client,
    sentinels_of,
    single_client,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

PREFIX = b"rerank:1:"
"""The start of all keys."""

_WARMED_KEYS = 64  # enough to reach every node of a cluster


class RedisBackend:
    """The scores of one target; see `Backend`.

    Args:
        target: the servers.

    Raises:
        ImportError: redis-py is not installed.
    """

    def __init__(self, target: RedisTarget) -> None:
        self.place = target.shown
        self.usage = Usage()
        self._sentinels = sentinels_of(target) if target.kind == "sentinel" else None
        self._client: Redis | RedisCluster
        if self._sentinels:
            self._client = self._sentinels.master_for(
                target.service, db=target.database, max_connections=2 * CONNECTIONS
            )
        elif target.kind == "cluster":
            self._client = cluster_client(target)
        else:
            self._client = single_client(target)
        self._is_cluster = target.kind == "cluster"
        self._is_warm = False

    async def _get(self, keys: Sequence[bytes]) -> list[Any]:
        client: Any = self._client  # redis-py types its answers as if some were not awaitable
        read = client.mget_nonatomic if self._is_cluster else client.mget
        values: list[Any] = await read(keys)
        return values

    async def read(
        self, identity: bytes, keys: Sequence[bytes]
    ) -> tuple[bytes | None, Mapping[bytes, bytes]]:
        """See `Backend`."""
        try:
            values = await self._get([_epoch_key(identity), *map(_score_key, keys)])
        except BaseException:  # a read that is given up has closed its connection
            self._is_warm = False
            raise
        epoch, *found = [value if isinstance(value, bytes) else None for value in values]
        return epoch, {
            key: value for key, value in zip(keys, found, strict=True) if value is not None
        }

    async def epoch(self, identity: bytes, new: bytes) -> bytes:
        """See `Backend`."""
        await self._warm_up()
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(_epoch_key(identity), new, nx=True)
            pipeline.get(_epoch_key(identity))
            refusal, found = await pipeline.execute(raise_on_error=False)
        if isinstance(found, bytes):  # a full server refuses the first command, not the second
            return found
        _refuse([refusal, found])
        raise StoreFailed("its epoch is no string")

    async def _warm_up(self) -> None:
        """Open connections, as that may take longer than a request may wait."""
        if self._is_warm:
            return
        keys = [PREFIX + secrets.token_bytes(8) for _ in range(_WARMED_KEYS)]
        await asyncio.gather(*(self._get(keys) for _ in range(CONNECTIONS)))
        self._is_warm = True

    async def renew(self, identity: bytes, new: bytes) -> None:
        """See `Backend`. A full server lets the old epoch be removed, which serves as well."""
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.delete(_epoch_key(identity))
            pipeline.set(_epoch_key(identity), new)
            _refuse(await pipeline.execute(raise_on_error=False))

    async def write(self, entries: Sequence[Entry]) -> None:
        """See `Backend`."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for entry in entries:
                milliseconds = max(1, int(1e3 * entry.seconds))
                pipeline.set(_score_key(entry.key), entry.sealed, px=milliseconds)
            _refuse(await pipeline.execute(raise_on_error=False))

    async def claim(self, claims: Mapping[bytes, bytes], seconds: float) -> Mapping[bytes, bool]:
        """See `ClaimingBackend`. A full server refuses claims."""
        from redis.exceptions import ResponseError

        milliseconds = max(1, int(1e3 * seconds))
        async with self._client.pipeline(transaction=False) as pipeline:
            for key, sealed in claims.items():
                pipeline.set(_score_key(key), sealed, nx=True, px=milliseconds)
            answers = await pipeline.execute(raise_on_error=False)
        _refuse([answer for answer in answers if not isinstance(answer, ResponseError)])
        return {
            key: bool(answer)
            for key, answer in zip(claims, answers, strict=True)
            if not isinstance(answer, ResponseError)
        }

    async def release(self, keys: Sequence[bytes]) -> None:
        """See `ClaimingBackend`."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.delete(_score_key(key))
            _refuse(await pipeline.execute(raise_on_error=False))

    async def close(self) -> None:
        """See `Backend`."""
        await self._client.aclose()
        for sentinel in self._sentinels.sentinels if self._sentinels else ():
            await sentinel.aclose()


def _epoch_key(identity: bytes) -> bytes:
    return PREFIX + b"epoch:" + identity


def _score_key(key: bytes) -> bytes:
    return PREFIX + b"score:" + key


def _refuse(answers: Sequence[object]) -> None:
    """Raise the first error among the answers of a pipeline.

    Raises:
        StoreFull: the server answers, and takes no new values.
        StoreFailed: it does not answer.
    """
    from redis.exceptions import ResponseError

    for answer in answers:
        if isinstance(answer, ResponseError):
            raise StoreFull(str(answer)) from answer
        if isinstance(answer, Exception):
            raise StoreFailed(f"{type(answer).__name__}: {answer}") from answer
