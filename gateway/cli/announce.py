"""Tells whoever reads the log how the start goes: where we listen, and when each model is ready."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.fleet import Fleet

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]

LOOK_SECONDS = 0.1
FIRST_STATES = {"stopped", "starting", "loading", "warming"}


def announced(lifespan: Lifespan, url: str) -> Lifespan:
    """Return the lifespan of the app, with lines in the log about its start and its end."""

    @asynccontextmanager
    async def with_lines(app: Any) -> AsyncIterator[Any]:
        import structlog

        log = structlog.get_logger("gateway")
        async with lifespan(app) as state:
            log.info("listening on %s, models are loading", url)
            watching = asyncio.create_task(_watch(app.state.api.fleet, url, log))
            try:
                yield state
            finally:
                watching.cancel()
                log.info("stopping")
        log.info("stopped")

    return with_lines


async def _watch(fleet: "Fleet", url: str, log: Any) -> None:
    """Say of each model once how its start ended, and then that the gateway serves."""
    told: set[str] = set()
    while True:
        models = fleet.status()
        for model in models:
            if _is_settled(model) and model.name not in told:
                told.add(model.name)
                _tell(model, log)
        if told >= {model.name for model in models}:
            break
        await asyncio.sleep(LOOK_SECONDS)
    usable = [model.name for model in models if model.state in ("ready", "degraded")]
    if usable:
        log.info("ready at %s", url, models=usable)
    else:
        log.error("no model can score; see `gateway status --url %s`", url)


def _is_settled(model: Any) -> bool:
    """Whether no shard is on its first way up any more."""
    return not {shard.state for shard in model.shards} & FIRST_STATES


def _tell(model: Any, log: Any) -> None:
    errors = "; ".join(sorted({shard.last_error for shard in model.shards if shard.last_error}))
    up = [one for one in model.shards if one.state == "ready"]
    if not up:
        log.error("model does not start", model=model.name, error=errors)
        return
    if len(up) < len(model.shards):
        log.warning("model starts without some of its shards", model=model.name, error=errors)
    shards = [f"{one.name} ({one.device}, {one.dtype})" for one in up]
    if model.calibration and model.calibration.stale:
        log.warning("its calibration was made for other weights", model=model.name)
    log.info("model ready", model=model.name, engine=model.engine, shards=shards)
