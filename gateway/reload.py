"""Reloads: the configuration is read again, or models are started anew, at most once at a time.

Whoever asks (SIGHUP, `gateway reload`) joins the next attempt, which has not read anything yet; so a
storm of a hundred signals is one or two attempts. An attempt that fails leaves everything as it was.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.config import ConfigError, ModelSpec, Settings, model_specs, split_specs
from gateway.editions import Changes, without_effect
from gateway.fleet import Fleet
from gateway.metrics import Metrics
from gateway.status import ReloadOutcome, ReloadStatus
from gateway.trial import EditionFailed

_logger = logging.getLogger(__name__)

_REST_SECONDS = 1.0  # between two attempts: who asks meanwhile asks for the same one


@dataclass(frozen=True, slots=True)
class Renewal:
    """Something beside the models that a new configuration changes, checked and ready.

    Attributes:
        bring: brings it into effect, and cannot fail.
        warnings: what should be known about it.
    """

    bring: Callable[[], None]
    warnings: tuple[str, ...] = ()


Renew = Callable[[Settings], Renewal]
"""Makes one from new settings, in a thread of its own; raises `ConfigError` if it cannot be."""


@dataclass(slots=True)
class _Order:
    """What the next attempt is to do.

    Attributes:
        file: whether to read the configuration again.
        models: the models to start anew, by their public names.
    """

    file: bool = False
    models: set[str] = field(default_factory=set)


class Reloads:
    """Brings what was asked for into effect, one attempt after the other.

    Attributes:
        renewed: what is renewed beside the models, whenever the configuration is read again.
    """

    def __init__(
        self, fleet: Fleet, settings: Settings, read: Callable[[], Settings], metrics: Metrics
    ) -> None:
        self._fleet = fleet
        self._started_with = settings
        self._read = read
        self._metrics = metrics
        self.renewed: list[Renew] = []
        self._order = _Order()
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generation = 1
        self._attempts = 0
        self._running = False
        self._last: ReloadOutcome | None = None

    def ask(self, model: str | None = None) -> int:
        """Ask for the configuration to be read again, or for one model to be started anew.

        Returns the number of the attempt that will do it.

        Raises:
            UnknownModel: there is none of this name.
        """
        if model is None:
            self._order.file = True
        else:
            self._order.models.add(self._fleet.resolve(model))
        self._asked.set()
        return self._attempts + 1

    def on_signal(self) -> None:
        """Ask from a signal handler; before anything is served the first attempt comes with the start."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.ask)
        else:
            self.ask()

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                order, self._order = self._order, _Order()
                await self._attempt(order)
                await asyncio.sleep(_REST_SECONDS)
        finally:
            self._loop = None

    async def _attempt(self, order: _Order) -> None:
        self._attempts += 1
        self._running = True
        started = time.monotonic()
        _logger.info("reload %d begins", self._attempts)
        try:
            outcome = await self._outcome(order, started)
        finally:
            self._running = False
        self._last = outcome
        self._generation += outcome.ok
        self._metrics.reloaded(ok=outcome.ok)
        _log(outcome)

    async def _outcome(self, order: _Order, started: float) -> ReloadOutcome:
        try:
            found, warnings = await self._do(order)
        except ConfigError as error:
            return self._failed(started, *map(str, error.problems))
        except EditionFailed as error:
            return self._failed(started, str(error))
        except Exception:
            _logger.exception("reload %d met a bug", self._attempts)
            return self._failed(started, "the gateway met a bug of its own; its log says more")
        return ReloadOutcome(
            **self._when(started),
            ok=True,
            added=found.added,
            changed=found.changed,
            removed=found.removed,
            kept=found.kept,
            warnings=warnings,
        )

    async def _do(self, order: _Order) -> tuple[Changes, tuple[str, ...]]:
        """Return what has changed, and what could not be changed."""
        if not order.file:
            return await self._fleet.apply(self._fleet.specs, order.models), ()
        settings, specs, renewals = await asyncio.to_thread(self._read_all)
        found = await self._fleet.apply(specs, order.models, splits=split_specs(settings))
        for renewal in renewals:
            renewal.bring()
        warnings = [line for renewal in renewals for line in renewal.warnings]
        return found, (*self._without_effect(settings), *warnings, *self._doubtful(found))

    def _read_all(self) -> tuple[Settings, tuple[ModelSpec, ...], list[Renewal]]:
        settings = self._read()
        return settings, model_specs(settings), [renew(settings) for renew in self.renewed]

    def _without_effect(self, settings: Settings) -> list[str]:
        return [
            f"{key} takes effect when the gateway is started again, not by a reload"
            for key in without_effect(self._started_with, settings)
        ]

    def _doubtful(self, found: Changes) -> list[str]:
        stale = [
            f"model {one.name!r}: its calibration was made for other weights: `gateway calibrate`"
            for one in self._fleet.status()
            if one.calibration and one.calibration.stale
        ]
        return stale + [
            f"model {one.name!r} did not change and is still {one.state}: "
            f"`gateway reload {one.name}` starts it anew"
            for one in self._fleet.status()
            if one.name in found.kept and one.state in {"failed", "draining", "drained"}
        ]

    def _failed(self, started: float, *errors: str) -> ReloadOutcome:
        return ReloadOutcome(**self._when(started), ok=False, errors=errors)

    def _when(self, started: float) -> dict[str, Any]:
        seconds = round(time.monotonic() - started, 3)
        return {"attempt": self._attempts, "time": round(time.time(), 3), "seconds": seconds}

    def status(self) -> ReloadStatus:
        """Return a snapshot."""
        return ReloadStatus(
            generation=self._generation,
            attempts=self._attempts,
            running=self._running,
            last=self._last,
            coming=self._fleet.coming(),
            leaving=self._fleet.leaving(),
        )


def _log(outcome: ReloadOutcome) -> None:
    for line in outcome.warnings:
        _logger.warning("reload %d: %s", outcome.attempt, line)
    for line in outcome.errors:
        _logger.error("reload %d failed, all stays as it was: %s", outcome.attempt, line)
    if outcome.ok:
        names = {name: getattr(outcome, name) for name in ("added", "changed", "removed", "kept")}
        _logger.info("reload %d is in effect", outcome.attempt, extra=names)
