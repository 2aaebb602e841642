"""The unloading of models that have had no request for long enough (`idle_seconds`)."""

import asyncio
from collections.abc import Callable, Iterable

from gateway.scheduling.model import Model

_LOOK_SECONDS = 0.5


async def unload_idle(models: Callable[[], Iterable[Model]]) -> None:
    """Unload each model that is due, until cancelled; a model that is gone is not held."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        _unload_due(models())


def _unload_due(models: Iterable[Model]) -> None:
    for model in models:
        model.unload_if_due()
