"""Log lines about the start: what is served, where the gateway listens, when a model is ready."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.serving.fleet import Fleet
    from gateway.telemetry.status import ModelStatus

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]

POLL_SECONDS = 0.1
STARTING = frozenset({"stopped", "starting", "loading", "warming"})
"""States of a shard on its way to its first job."""


def introduce(settings: "Settings", warnings: Sequence[str] = ()) -> None:
    """Log version, models and warnings, before anything takes time."""
    import structlog

    from gateway import __version__
    from gateway.config import advice
    from gateway.config.checks import EMBEDDED_SOURCES
    from gateway.config.foreign import foreign_variables
    from gateway.config.load import unknown_variables
    from gateway.http.keys import keys_of
    from gateway.http.tls import check_pair
    from gateway.supervision.machine import read_machine

    log = structlog.get_logger("gateway")
    log.info("rerank gateway starting", version=__version__, models=list(settings.models))
    keys = keys_of(settings)
    advised = (*advice(settings, read_machine()), *(keys.warnings if keys else ()))
    foreign = [line] if (line := foreign_variables(os.environ)) else []
    for line in (*warnings, *unknown_variables(), *foreign, *advised, *check_pair(settings.tls)):
        log.warning(line)
    embedded = [name for name, model in settings.models.items() if model.source in EMBEDDED_SOURCES]
    if embedded:
        log.info(
            "%s: small models of the package. A better one: "
            "gateway serve --model Qwen/Qwen3-Reranker-0.6B",
            " and ".join(embedded),
        )


def with_startup_log(lifespan: Lifespan, url: str) -> Lifespan:
    """Return the lifespan of the app, with log lines about its start and its end."""

    @asynccontextmanager
    async def logged(app: Any) -> AsyncIterator[Any]:
        import structlog

        log = structlog.get_logger("gateway")
        async with lifespan(app) as state:
            log.info("listening on %s, models are loading", url)
            watching = asyncio.create_task(_log_models(app.state.gateway.fleet, url, log))
            try:
                yield state
            finally:
                watching.cancel()
                log.info("stopping")
        log.info("stopped")

    return logged


async def _log_models(fleet: "Fleet", url: str, log: Any) -> None:
    """Log once for each model how its start ended, and then that the gateway is ready."""
    logged: set[str] = set()
    while True:
        models = fleet.status()
        for model in models:
            if _is_settled(model) and model.name not in logged:
                logged.add(model.name)
                _log_model(model, log)
        if logged >= {model.name for model in models}:
            break
        await asyncio.sleep(POLL_SECONDS)
    usable = [model.name for model in models if model.state in ("ready", "degraded", "idle")]
    if usable:
        log.info("ready at %s", url, models=usable)
    else:
        log.error("no model can score; see `gateway status --url %s`", url)


def _is_settled(model: "ModelStatus") -> bool:
    """Return whether the first start of every shard has ended."""
    return not {shard.state for shard in model.shards} & STARTING


def _log_model(model: "ModelStatus", log: Any) -> None:
    if model.state == "idle":
        log.info("model is idle until its first request", model=model.name)
        return
    errors = "; ".join(sorted({shard.last_error for shard in model.shards if shard.last_error}))
    ready = [shard for shard in model.shards if shard.state == "ready"]
    if not ready:
        log.error("model does not start", model=model.name, error=errors)
        return
    if len(ready) < len(model.shards):
        log.warning("model starts without some of its shards", model=model.name, error=errors)
    shards = [f"{shard.name} ({shard.device}, {shard.dtype})" for shard in ready]
    if model.calibration and model.calibration.stale:
        log.warning("the calibration was made for other weights", model=model.name)
    log.info("model ready", model=model.name, engine=model.engine, shards=shards)
