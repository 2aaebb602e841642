"""Reloads of the keys: by themselves, in order, and with the reason of each failure."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.config import ConfigError, Problem, Settings, abandonable
from gateway.serving.renewals import KeyReloads, Renewal
from tests.gateway.serving.test_reload import File, outcome_of, running, until


class Keys:
    """Keys that count how often they come into effect."""

    def __init__(self) -> None:
        self.brought = 0
        self.error: ConfigError | None = None

    def renew(self, _settings: Settings) -> Renewal:
        if self.error:
            raise self.error
        return Renewal(self._bring)

    def _bring(self) -> None:
        self.brought += 1


async def test_keys_are_in_effect_while_the_configuration_is_still_read() -> None:
    file, keys = File(), Keys()
    file.may_be_read.clear()
    async with running(file) as reloads:
        reloads.keys.renew = keys.renew
        reloads.ask()
        await until(lambda: keys.brought == 1)
        found = reloads.status()
        assert (found.running, found.last, found.keys.attempts) == (True, None, 1)
        reloads.ask()  # during the first one
        await until(lambda: keys.brought == 2)
        assert reloads.status().attempts == 1
        file.may_be_read.set()
        assert (await outcome_of(reloads, 2)).ok


async def test_keys_come_into_effect_although_the_configuration_is_broken() -> None:
    file, keys = File(), Keys()
    file.error = ConfigError([Problem(path=(), message="is broken", remedy="Fix it")])
    async with running(file) as reloads:
        reloads.keys.renew = keys.renew
        outcome = await outcome_of(reloads, reloads.ask())
        await until(lambda: keys.brought == 1)
        assert not outcome.ok


async def test_keys_that_cannot_be_used_fail_the_reload_and_are_named() -> None:
    file, keys = File(), Keys()
    keys.error = ConfigError([Problem(path=(), message="is broken", remedy="Fix it", origin="k")])
    async with running(file) as reloads:
        reloads.keys.renew = keys.renew
        outcome = await outcome_of(reloads, reloads.ask())
        assert (outcome.ok, outcome.errors) == (False, ("k: is broken. Fix it",))
        await until(lambda: reloads.status().keys.attempts > 0)
        found = reloads.status().keys
        assert (found.ok, found.errors, keys.brought) == (False, ("k: is broken. Fix it",), 0)


async def test_a_storm_of_requests_is_few_reloads_of_the_keys() -> None:
    keys, reloads = Keys(), KeyReloads(Settings())
    reloads.renew = keys.renew
    task = asyncio.create_task(reloads.run())
    for _ in range(1000):
        reloads.ask()
    await until(lambda: keys.brought >= 1)
    await asyncio.sleep(0.1)
    assert keys.brought <= 2
    task.cancel()


async def test_a_file_that_blocks_fails_the_reload_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.config import load

    monkeypatch.setattr(abandonable, "READ_SECONDS", 0.1)
    pipe = tmp_path / "gateway.toml"
    os.mkfifo(pipe)
    file = File()
    file.read = lambda: load(pipe)  # type: ignore[method-assign]  # a file of its own
    async with running(file) as reloads:
        outcome = await outcome_of(reloads, reloads.ask())
        assert not outcome.ok
        assert f"{pipe}: is not read within 0.1 s" in outcome.errors[0]
    pipe.write_text("")  # lets the thread end
