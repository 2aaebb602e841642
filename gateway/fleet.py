"""All models of the gateway, by every name a client may use."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from gateway.config import ModelSpec
from gateway.errors import UnknownModel
from gateway.metrics import Metrics
from gateway.model import Model
from gateway.policy import FleetPolicy
from gateway.status import ModelStatus

_logger = logging.getLogger(__name__)

_SHOWN_NAME = 128


class Fleet:
    """All models of the gateway."""

    def __init__(
        self,
        models: Sequence[ModelSpec],
        policy: FleetPolicy,
        metrics: Metrics,
    ) -> None:
        self._models = {spec.name: Model(spec, policy, metrics) for spec in models}
        self._names = {alias: spec.name for spec in models for alias in spec.aliases}
        self._names |= {spec.name: spec.name for spec in models}
        self._default = next(spec.name for spec in models if spec.default)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start all shards; returns at once, they load in the background."""
        self._running = asyncio.create_task(self._run(), name="fleet")
        self._running.add_done_callback(_stop_gateway_if_failed)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for model in self._models.values():
                group.create_task(model.run())

    async def stop(self) -> None:
        """Stop all shards and wait for their end."""
        for model in self._models.values():
            model.stop()
        if self._running is not None:
            await self._running

    def resolve(self, name: str | None) -> str:
        """Return the public name of the model that a client asked for.

        Raises:
            UnknownModel: there is none of this name; the message lists those there are.
        """
        if name is None:
            return self._default
        try:
            return self._names[name]
        except KeyError:
            known = ", ".join(self._models)
            raise UnknownModel(
                f"model {name[:_SHOWN_NAME]!r} is not served here; use one of: {known}",
                param="model",
            ) from None

    def model(self, name: str) -> Model:
        """Return the model of this public name."""
        return self._models[name]

    def status(self) -> tuple[ModelStatus, ...]:
        return tuple(model.status() for model in self._models.values())


def _stop_gateway_if_failed(running: asyncio.Task[None]) -> None:
    """Without supervision the gateway would lie about its health sooner or later: end it."""
    if not running.cancelled() and (error := running.exception()):
        _logger.critical("supervision failed, the gateway stops", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
