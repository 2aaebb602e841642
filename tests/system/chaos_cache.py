"""The score cache of a chaos run: its configuration, and a Redis that ends again and again."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

from gateway.domain.request import SOURCES
from tests.redis_server import RedisServer, redis_server
from tests.system.chaos_report import Report
from tests.system.running import Gateway

CacheKind = Literal["off", "memory", "disk", "redis", "stores"]

CACHE_KINDS: tuple[CacheKind, ...] = ("off", "memory", "disk", "redis", "stores")
"""No cache; memory alone; memory with the disk, with Redis, or with both stores."""

MEMORY_MB = 16
_SMALL_MEMORY_MB = 1  # so that scores are asked of the stores
_MOST_QUIET_SECONDS, _MOST_DOWN_SECONDS = 4.0, 1.5


class ChaosCache:
    """The score cache of one run.

    Args:
        kind: its parts.
        folder: a folder for the file and the secret.
        redis: the server, if it has one.
    """

    def __init__(self, kind: CacheKind, folder: Path, redis: RedisServer | None) -> None:
        self._kind, self._folder, self._redis = kind, folder, redis

    @property
    def config(self) -> str:
        """The first lines of the configuration."""
        if self._kind == "off":
            return "score_cache_mb = 0\n"
        if self._kind == "memory":
            return f"score_cache_mb = {MEMORY_MB}\n"
        lines = [f"score_cache_mb = {_SMALL_MEMORY_MB}"]
        if self._kind != "redis":
            lines.append(f'score_cache_path = "{self._folder / "scores.db"}"')
        if self._redis:
            secret = self._folder / "secret"
            secret.write_text("0123456789abcdef" * 2)
            lines += [
                f'score_cache_url = "{self._redis.url}"',
                f'score_cache_secret_file = "{secret}"',
            ]
        return "\n".join(lines) + "\n"

    @asynccontextmanager
    async def redis_ends(self, seed: int, report: Report) -> AsyncIterator[None]:
        """Kill or stop the server again and again until the block ends, and bring it back."""
        if self._redis is None:
            yield
            return
        ends = asyncio.create_task(_end_again_and_again(self._redis, seed, report))
        try:
            yield
        finally:
            ends.cancel()
            await asyncio.gather(ends, return_exceptions=True)
            await asyncio.to_thread(self._redis.kill)
            await asyncio.to_thread(self._redis.start)

    async def count(self, gateway: Gateway, report: Report) -> None:
        """Note the documents by the source of their score."""
        _, status = await gateway.get("/status")
        for model in status["score_cache"]["models"]:
            report.sources.update({source: model[source] for source in SOURCES})


@contextmanager
def chaos_cache(kind: CacheKind, folder: Path) -> Iterator[ChaosCache]:
    """Run what the score cache of a run needs until the block ends."""
    if kind not in ("redis", "stores"):
        yield ChaosCache(kind, folder, None)
        return
    with redis_server(folder / "redis") as redis:
        yield ChaosCache(kind, folder, redis)


async def _end_again_and_again(redis: RedisServer, seed: int, report: Report) -> None:
    chance = random.Random(f"redis {seed}")
    while True:
        await asyncio.sleep(chance.uniform(0.5, _MOST_QUIET_SECONDS))
        down = chance.uniform(0.05, _MOST_DOWN_SECONDS)
        report.redis_ends += 1
        if chance.random() < 0.5:
            redis.stop()
            try:
                await asyncio.sleep(down)
            finally:
                redis.resume()
        else:
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(down)
            await asyncio.to_thread(redis.start)
