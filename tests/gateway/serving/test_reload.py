"""Reloads: one at a time, a storm is few attempts, a failed one is reported and changes nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.config import ConfigError, ModelSettings, Problem, Settings, model_specs
from gateway.domain.errors import UnknownModel
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.serving.reload import Reloads
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ReloadOutcome

PATIENCE_SECONDS = 120.0
MODEL = ModelSettings(source="fake", engine="fake", devices=("cpu",), replicas=1)
SETTINGS = Settings(models={"m": MODEL})


class File:
    """A configuration that counts how often it is read, and that can be held while it is."""

    def __init__(self) -> None:
        self.settings = SETTINGS
        self.error: Exception | None = None
        self.reads = 0
        self.may_be_read = threading.Event()
        self.may_be_read.set()

    def read(self) -> Settings:
        self.reads += 1
        assert self.may_be_read.wait(PATIENCE_SECONDS)
        if self.error:
            raise self.error
        return self.settings


@asynccontextmanager
async def running(file: File) -> AsyncIterator[Reloads]:
    """Run reloads over a fleet that serves `SETTINGS`."""
    metrics = Metrics()
    fleet = Fleet(model_specs(SETTINGS), FleetPolicy(), metrics)
    reloads = Reloads(fleet, SETTINGS, file.read, metrics)
    await fleet.start()
    task = asyncio.create_task(reloads.run())
    try:
        yield reloads
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await fleet.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def outcome_of(reloads: Reloads, attempt: int) -> ReloadOutcome:
    def is_over() -> bool:
        last = reloads.status().last
        return last is not None and last.attempt >= attempt

    await until(is_over)
    last = reloads.status().last
    assert last is not None
    return last


async def test_nothing_happens_before_the_first_request() -> None:
    async with running(File()) as reloads:
        found = reloads.status()
        assert (found.generation, found.attempts, found.running, found.last) == (1, 0, False, None)


async def test_a_reload_without_a_change_is_a_generation() -> None:
    file = File()
    async with running(file) as reloads:
        outcome = await outcome_of(reloads, reloads.ask())
        assert (outcome.ok, outcome.kept, outcome.errors) == (True, ("m",), ())
        assert reloads.status().generation == 2


async def test_simultaneous_requests_are_one_attempt() -> None:
    file = File()
    async with running(file) as reloads:
        assert {reloads.ask() for _ in range(100)} == {1}
        await outcome_of(reloads, 1)
        assert file.reads == 1


async def test_a_request_during_a_reload_has_the_file_read_again() -> None:
    """The running attempt may have read the file before its last change."""
    file = File()
    file.may_be_read.clear()
    async with running(file) as reloads:
        reloads.ask()
        await until(lambda: reloads.status().running)
        assert {reloads.ask() for _ in range(100)} == {2}
        assert reloads.status().attempts == 1
        file.may_be_read.set()
        await outcome_of(reloads, 2)
        assert file.reads == 2


async def test_signals_are_accepted_in_and_out_of_the_loop() -> None:
    file = File()
    async with running(file) as reloads:
        await asyncio.sleep(0)
        reloads.on_signal()
        await outcome_of(reloads, 1)
    reloads.on_signal()
    assert file.reads == 1


async def test_a_signal_before_the_start_is_handled_after_it() -> None:
    file = File()
    async with running(file) as reloads:
        reloads.on_signal()
        assert file.reads == 0
        await outcome_of(reloads, 1)
    assert file.reads == 1


async def test_every_problem_of_a_configuration_is_reported() -> None:
    file = File()
    problems = [
        Problem(path=("limits", name), message="unknown key", remedy="Go", origin="g.toml")
        for name in ("one", "two")
    ]
    file.error = ConfigError(problems)
    async with running(file) as reloads:
        outcome = await outcome_of(reloads, reloads.ask())
        assert not outcome.ok
        assert outcome.errors == (
            "g.toml: limits.one: unknown key. Go",
            "g.toml: limits.two: unknown key. Go",
        )
        assert reloads.status().generation == 1


async def test_a_bug_is_reported_and_does_not_end_reloads() -> None:
    file = File()
    file.error = RuntimeError("unexpected")
    async with running(file) as reloads:
        outcome = await outcome_of(reloads, reloads.ask())
        assert (outcome.ok, len(outcome.errors)) == (False, 1)
        file.error = None
        assert (await outcome_of(reloads, reloads.ask())).ok


async def test_keys_that_need_a_restart_are_reported_until_there_is_one() -> None:
    file = File()
    file.settings = Settings(models={"m": MODEL}, port=9, default_timeout_seconds=7)
    async with running(file) as reloads:
        for _ in range(2):
            outcome = await outcome_of(reloads, reloads.ask())
            assert outcome.ok
            assert [warning.split()[0] for warning in outcome.warnings] == [
                "port",
                "default_timeout_seconds",
            ]


async def test_a_model_that_failed_and_did_not_change_is_named() -> None:
    file = File()
    async with running(file) as reloads:
        reloads._fleet.drain("m")
        outcome = await outcome_of(reloads, reloads.ask())
        assert outcome.ok
        (warning,) = outcome.warnings
        assert "'m'" in warning
        assert "`gateway reload m`" in warning


async def test_one_model_is_started_anew_without_reading_the_file() -> None:
    file = File()
    file.error = ConfigError([Problem(path=(), message="is not TOML", remedy="Fix it")])
    async with running(file) as reloads:
        outcome = await outcome_of(reloads, reloads.ask("m"))
        assert (outcome.ok, outcome.changed, file.reads) == (True, ("m",), 0)
        with pytest.raises(UnknownModel):
            reloads.ask("n")
