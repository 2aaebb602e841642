"""Reloads: the configuration is read again, or models are started anew, one attempt at a time.

A request for a reload (SIGHUP, `gateway reload`) joins the next attempt, which has not read
anything yet; so a storm of a hundred signals is one or two attempts. An attempt that is refused
leaves everything as it was. Keys, limits, logs and the certificate come into effect first, so that
they wait for no model; an attempt whose models fail leaves all models as they were.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config import (
    ConfigError,
    ModelSpec,
    Settings,
    cascade_specs,
    model_specs,
    run_abandonable,
    split_specs,
)
from gateway.scheduling.memory_check import refuse_too_large
from gateway.serving.fleet import Fleet
from gateway.serving.renewals import KeyReloads, Renew, Renewal
from gateway.serving.revision_check import RevisionFailed
from gateway.serving.revisions import Changes, without_effect
from gateway.serving.vanishing import refuse_vanishing
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ReloadOutcome, ReloadStatus

_logger = logging.getLogger(__name__)

_REST_SECONDS = 1.0  # between two attempts: all requests meanwhile join the same one


_PARTLY = (
    "keys, limits, logs and the certificate of the new configuration are in effect all the same"
)


class _KeysFailed(Exception):
    """The keys changed during the reload and cannot be used."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__(*errors)
        self.errors = errors


@dataclass(slots=True)
class _Order:
    """The task of the next attempt.

    Attributes:
        file: whether to read the configuration again.
        remove: whether it may remove models that the configuration no longer names.
        models: the models to start anew, by their public names.
    """

    file: bool = False
    remove: bool = False
    models: set[str] = field(default_factory=set)


class Reloads:
    """The reloads of a gateway, one attempt after the other.

    Attributes:
        keys: the reloads of the keys, by themselves.
        renewed: the other renewals beside the models, whenever the configuration is read again.
    """

    def __init__(
        self, fleet: Fleet, settings: Settings, read: Callable[[], Settings], metrics: Metrics
    ) -> None:
        self._fleet = fleet
        self._started_with = self._in_effect = settings
        self._read = read
        self._metrics = metrics
        self.keys = KeyReloads(settings)
        self.renewed: list[Renew] = []
        self._order = _Order()
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generation = 1
        self._attempts = 0
        self._running = False
        self._last: ReloadOutcome | None = None

    def ask(self, model: str | None = None, *, remove: bool = False) -> int:
        """Ask for a new configuration, or for one model to be started anew.

        Args:
            model: the model; `None` for the configuration.
            remove: whether models may go that the configuration no longer names.

        Returns:
            the number of the attempt that will do it.

        Raises:
            UnknownModel: no model has this name.
        """
        if model is None:
            self._order.file = True
            self._order.remove |= remove
            self.keys.ask()
        else:
            self._order.models.add(self._fleet.resolve(model))
        self._asked.set()
        return self._attempts + 1

    def on_signal(self) -> None:
        """Ask from a signal handler; before the start the first attempt comes with the start."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.ask)
        else:
            self.ask()

    async def run(self) -> None:
        """Make the attempts that are asked for, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.keys.run(), name="key reloads")
                group.create_task(self._make_attempts(), name="reload attempts")
        finally:
            self._loop = None

    async def _make_attempts(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            order, self._order = self._order, _Order()
            await self._attempt(order)
            await asyncio.sleep(_REST_SECONDS)

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
        except _KeysFailed as error:
            return self._failed(started, *error.errors)
        except RevisionFailed as error:
            return self._failed(started, str(error), warnings=(_PARTLY,) if order.file else ())
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
        """Return the changes, and the warnings about what did not change."""
        if not order.file:
            return await self._fleet.apply(self._fleet.specs, order.models), ()
        settings, specs, renewals = await run_abandonable(self._read_all)
        if not order.remove:
            refuse_vanishing(self._in_effect, settings)
        await self._bring(settings, renewals)
        found = await self._fleet.apply(
            specs, order.models, splits=split_specs(settings), cascades=cascade_specs(settings)
        )
        self._in_effect = settings
        warnings = [line for renewal in renewals for line in renewal.warnings]
        return found, (*self._without_effect(settings), *warnings, *self._doubtful(found))

    def _read_all(self) -> tuple[Settings, tuple[ModelSpec, ...], list[Renewal]]:
        """Return the new settings, all checked; the first renewal is that of the keys."""
        settings = self._read()
        specs = model_specs(settings)
        refuse_too_large(self._fleet.room, specs)
        renews = [self.keys.renew or _renew_nothing, *self.renewed]
        return settings, specs, [renew(settings) for renew in renews]

    async def _bring(self, settings: Settings, renewals: Sequence[Renewal]) -> None:
        """Bring everything beside the models into effect.

        The keys are read once more: others may have come into effect since the first read.
        """
        self.keys.settings = settings
        if errors := (await self.keys.reload()).errors:
            raise _KeysFailed(errors)
        for renewal in renewals[1:]:
            renewal.bring()

    def _without_effect(self, settings: Settings) -> list[str]:
        return [
            f"{key} takes effect when the gateway is started again, not by a reload"
            for key in without_effect(self._started_with, settings)
        ]

    def _doubtful(self, found: Changes) -> list[str]:
        models = self._fleet.status()
        stale = [
            f"model {model.name!r}: its calibration was made for other weights: `gateway calibrate`"
            for model in models
            if model.calibration and model.calibration.stale
        ]
        return stale + [
            f"model {model.name!r} did not change and is still {model.state}: "
            f"`gateway reload {model.name}` starts it anew"
            for model in models
            if model.name in found.kept and model.state in {"failed", "draining", "drained"}
        ]

    def _failed(
        self, started: float, *errors: str, warnings: tuple[str, ...] = ()
    ) -> ReloadOutcome:
        return ReloadOutcome(**self._when(started), ok=False, errors=errors, warnings=warnings)

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
            keys=self.keys.status(),
        )


def _renew_nothing(_settings: Settings) -> Renewal:
    return Renewal(lambda: None)


def _log(outcome: ReloadOutcome) -> None:
    for line in outcome.warnings:
        _logger.warning("reload %d: %s", outcome.attempt, line)
    for line in outcome.errors:
        _logger.error("reload %d failed, the models stay as they were: %s", outcome.attempt, line)
    if outcome.ok:
        names = {name: getattr(outcome, name) for name in ("added", "changed", "removed", "kept")}
        _logger.info("reload %d is in effect", outcome.attempt, extra=names)
