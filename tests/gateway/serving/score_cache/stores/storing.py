"""Score stores for tests: a running store, and ways to wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.serving.score_cache.stores.backend import Backend
from gateway.serving.score_cache.stores.score_store import ScoreStore, StoreSource
from gateway.serving.score_cache.stores.sealed_score import Kept

IDENTITY, OTHER, SECRET = b"i" * 32, b"o" * 32, b"secret"
PATIENCE_SECONDS = 120.0


def keys(number: int, start: int = 0) -> list[bytes]:
    return [index.to_bytes(16) for index in range(start, start + number)]


def scores(wanted: Sequence[bytes]) -> dict[bytes, Kept]:
    now = int(time.time())
    return {key: Kept(key[-16:] + b"score", now) for key in wanted}


def store_on(backend: Backend, source: StoreSource = "disk", **settings: Any) -> ScoreStore:
    """Return a store that waits for its backend, and probes it all the time."""
    wanted: dict[str, Any] = {
        "secret": SECRET, "seconds": 3600.0, "read_seconds": PATIENCE_SECONDS, "tick_seconds": 0.02,
    }  # fmt: skip
    return ScoreStore(backend, source, **wanted | settings)


@asynccontextmanager
async def storing(
    backend: Backend, source: StoreSource = "disk", **settings: Any
) -> AsyncIterator[ScoreStore]:
    """Run a store until the block ends."""
    store = store_on(backend, source, **settings)
    async with running(store):
        yield store


@asynccontextmanager
async def running(store: ScoreStore) -> AsyncIterator[None]:
    task = asyncio.create_task(store.run(lambda: {IDENTITY}))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()


async def until(condition: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not met after {PATIENCE_SECONDS} s: {what()}"
        await asyncio.sleep(0.01)


async def written(store: ScoreStore, wanted: Sequence[bytes], identity: bytes = IDENTITY) -> None:
    """Write scores, and wait until they are in the backend; write again what was dropped."""

    def is_over() -> bool:
        return store.status().waiting == 0

    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        dropped = store.status().dropped
        store.write(identity, scores(wanted))
        await until(is_over, store.status)
        if store.status().dropped == dropped:
            return
        assert time.monotonic() < end, store.status()
        await asyncio.sleep(0.05)


async def until_state(store: ScoreStore, state: str) -> None:
    await until(lambda: store.status().state == state, store.status)
