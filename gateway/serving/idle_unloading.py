"""The unloading of models without requests, and the regular look at the memory of all."""

import asyncio
from collections.abc import Callable, Iterable

from gateway.scheduling.memory_room import Room
from gateway.scheduling.model import Model

_LOOK_SECONDS = 0.5


async def unload_idle(models: Callable[[], Iterable[Model]], room: Room) -> None:
    """Unload each model that is due, until cancelled; a model that is gone is not held."""
    while True:
        room.look()
        await asyncio.sleep(_LOOK_SECONDS)
        _unload_due(models())


def _unload_due(models: Iterable[Model]) -> None:
    for model in models:
        model.unload_if_due()
