"""Has the gateway attended while it runs, when a service manager wants to know how it goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.cli.announce import Lifespan

if TYPE_CHECKING:
    from gateway.notify import Notifier


def attended(lifespan: Lifespan, notifier: "Notifier", address: tuple[str, int]) -> Lifespan:
    """Return the lifespan of the app, watched from before its start until after its end."""
    if not notifier.is_heard:
        return lifespan

    @asynccontextmanager
    async def with_attendant(app: Any) -> AsyncIterator[Any]:
        from gateway.attendant import Attendant, answers

        attendant = Attendant(
            notifier=notifier,
            fleet=app.state.api.fleet,
            reloads=app.state.reloads,
            knock=partial(answers, *address),
            is_leaving=lambda: app.state.api.leaving,
        )
        attending = asyncio.create_task(attendant.run(), name="attendant")
        try:
            async with lifespan(app) as state:
                yield state
                await attendant.look()  # the end may be over before the next look
        finally:
            attending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await attending

    return with_attendant
