"""Reloads of what is no model: checked first, then brought into effect in one step.

Keys have a reload of their own, which every request for a reload starts at once: a key that was
revoked is refused although a model of the same reload loads for minutes or fails, and although the
configuration beside the keys is broken.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.config import ConfigError, Settings, run_abandonable
from gateway.telemetry.status import KeysReload

_REST_SECONDS = 0.05  # between two reloads of the keys: a storm of signals must not fill the loop


@dataclass(frozen=True, slots=True)
class Renewal:
    """Something beside the models that a new configuration changes, checked and ready.

    Attributes:
        bring: brings it into effect, and cannot fail.
        warnings: warnings for the operator.
    """

    bring: Callable[[], None]
    warnings: tuple[str, ...] = ()


Renew = Callable[[Settings], Renewal]
"""Returns a renewal for new settings, in a thread of its own; raises `ConfigError` if it cannot."""


class KeyReloads:
    """The reloads of the keys, by themselves, one after the other.

    Attributes:
        settings: the settings that name the file of keys.
        renew: returns the renewal of the keys; `None` where there are no keys.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.renew: Renew | None = None
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._last = KeysReload(attempts=0, time=0.0, seconds=0.0, ok=True)

    def ask(self) -> None:
        """Ask for a reload; it begins as soon as the one in progress has ended."""
        self._asked.set()

    async def run(self) -> None:
        """Make the reloads that are asked for, until cancelled; failures are in the status."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()
            await asyncio.sleep(_REST_SECONDS)

    async def reload(self) -> KeysReload:
        """Read the keys, and bring them into effect if they can be used."""
        async with self._turn:  # so that keys that were read earlier cannot replace later ones
            started = time.monotonic()
            errors: tuple[str, ...] = ()
            try:
                await self._renew()
            except ConfigError as error:
                errors = tuple(map(str, error.problems))
            self._last = KeysReload(
                attempts=self._last.attempts + 1,
                time=round(time.time(), 3),
                seconds=round(time.monotonic() - started, 4),
                ok=not errors,
                errors=errors,
            )
            return self._last

    async def _renew(self) -> None:
        if self.renew is not None:
            renewal = await run_abandonable(partial(self.renew, self.settings))
            renewal.bring()

    def status(self) -> KeysReload:
        """Return the last reload of the keys."""
        return self._last
