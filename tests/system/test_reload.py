"""Reloads of a real gateway under load: no request fails, no bad configuration takes effect."""

import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.system.operator import (
    BASE,
    OTHER,
    command,
    model,
    pids,
    reload,
    reload_status,
    until,
    until_settled,
    write,
)
from tests.system.running import Ledger, running


async def test_a_reload_that_changes_nothing_touches_no_process(tmp_path: Path) -> None:
    config = BASE + model("fake", replicas="2") + OTHER
    async with running(config, tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            await ledger.until_answered(20)
            code, output = await reload(gateway, tmp_path, config)
            assert (code, "no model had changed" in output) == (0, True)
            await ledger.until_answered(ledger.codes.total() + 20)
        ledger.assert_all_right()
        assert pids(await gateway.shards()) == before
        found = await reload_status(gateway)
        assert (found["generation"], found["attempts"], found["running"]) == (2, 1, False)
        assert found["last"]["kept"] == ["fake", "other"]


async def test_models_are_added_changed_and_removed_under_load(tmp_path: Path) -> None:
    """Three reloads, there and back; clients of names that stay get only right scores."""
    first = BASE + model("fake", aliases='["name"]') + model("still") + model("old")
    second = BASE + model("fake", "delay_ms=3", replicas="2") + model("still") + model("new")
    second += 'aliases = ["name"]\n'
    async with running(first, tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        stay = [Ledger(gateway, model=name) for name in ("fake", "name", "still")]
        go = [Ledger(gateway, model=name) for name in ("old", "new")]
        ledgers = [*stay, *go]
        async with asyncio.TaskGroup() as clients:
            for number, ledger in enumerate([*ledgers, *stay]):
                clients.create_task(ledger.client(1_000_000 * number))
            for turn in range(3):
                for ledger in stay:
                    await ledger.until_answered(ledger.codes.total() + 20)
                config = (second, first)[turn % 2]
                code, output = await reload(gateway, tmp_path, config, "--remove")
                assert code == 0, output
            for ledger in ledgers:
                ledger.stopped = True
        for ledger in stay:
            ledger.assert_all_right()
        for ledger in go:
            assert set(ledger.codes) <= {200, 404}
            assert ledger.codes[200]
            assert not ledger.wrong
        found = await until_settled(gateway, attempt=3)
        assert found["generation"] == 4
        shards = await gateway.shards()
        assert pids(shards)["still/cpu:0"] == before["still/cpu:0"]
        assert set(shards) == {"fake/cpu:0", "fake/cpu:0#1", "still/cpu:0", "new/cpu:0"}
        assert not any(shard["last_error"] for shard in shards.values())


_BAD = {
    "no TOML": ("[models.fake\n", ["gateway.toml", "is not TOML", "line 2"]),
    "an unknown key": (
        BASE + model("fake", replica="2"),
        ["gateway.toml", "models.fake.replica", "Did you mean replicas?"],
    ),
    "several errors": (
        BASE + 'prot = 1\ndefault_model = "nope"\n' + model("fake", threads="-1"),
        ["supervision.prot", "supervision.default_model", "models.fake.threads"],
    ),
    "clashing names": (
        BASE + model("fake", aliases='["other"]') + OTHER,
        ["models.fake.aliases", "the name of another model"],
    ),
    "a model that refuses": (
        BASE + model("fake", "refuse=78") + OTHER,
        ["model 'fake'", "refused, as its source asks"],
    ),
    "a model that crashes": (
        BASE + model("fake", "crash_on_load=1") + OTHER,
        ["model 'fake'", "exited with code 1"],
    ),
    "a bad model beside a good one": (
        BASE + model("fake", "delay_ms=3") + OTHER + model("new", "refuse=66"),
        ["model 'new'", "refused, as its source asks"],
    ),
}


@pytest.mark.parametrize("name", _BAD)
async def test_a_bad_configuration_replaces_nothing(tmp_path: Path, name: str) -> None:
    config, words = _BAD[name]
    async with running(BASE + model("fake") + OTHER, tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            code, output = await reload(gateway, tmp_path, config)
            await ledger.until_answered(ledger.codes.total() + 20)
        ledger.assert_all_right()
        assert code == 1
        assert "the models stay as they were" in output
        for word in words:
            assert word in output
        found = await until_settled(gateway)
        assert (found["generation"], found["last"]["ok"]) == (1, False)
        assert pids(await gateway.shards()) == before
        assert (await gateway.get("/readyz"))[0] == 200
        code, output = await reload(gateway, tmp_path, BASE + model("fake") + OTHER)
        assert code == 0, output


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    async with running(BASE + model("fake"), tmp_path) as gateway:
        await gateway.until_ready()
        (tmp_path / "gateway.toml").unlink()
        code, output = await command(gateway, "reload")
        assert (code, "cannot be read" in output) == (1, True)
        await Ledger(gateway).send(1)


async def test_a_storm_of_signals_is_few_reloads(tmp_path: Path) -> None:
    async with running(BASE + model("fake"), tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        ledger = Ledger(gateway)
        started = time.monotonic()
        async with ledger.load(clients=4):
            for _ in range(100):
                gateway.signal(signal.SIGHUP)
                await asyncio.sleep(0.01)
            await until(gateway, lambda found: found["attempts"] >= 1 and not found["running"])
        ledger.assert_all_right()
        attempts = (await reload_status(gateway))["attempts"]
        assert attempts <= 2 + time.monotonic() - started  # one at once, then one a second
        assert pids(await gateway.shards()) == before


async def test_a_signal_before_anything_is_ready_is_obeyed(tmp_path: Path) -> None:
    async with running(BASE + model("fake", "load_ms=500"), tmp_path) as gateway:
        gateway.signal(signal.SIGHUP)
        found = await until_settled(gateway, attempt=1)
        assert found["attempts"] == 1


async def test_signals_during_a_load_are_one_more_reload(tmp_path: Path) -> None:
    """There is never a second reload beside one that takes long."""
    async with running(BASE + model("fake"), tmp_path) as gateway:
        await gateway.until_ready()
        write(tmp_path, BASE + model("fake", "load_ms=8000"))
        gateway.signal(signal.SIGHUP)
        await until(gateway, lambda found: found["running"] and bool(found["coming"]))
        for _ in range(50):
            gateway.signal(signal.SIGHUP)
        found = await reload_status(gateway)
        assert (found["attempts"], len(found["coming"])) == (1, 1)
        assert found["coming"][0]["shards"][0]["state"] in {"starting", "loading"}
        found = await until_settled(gateway, attempt=2)
        assert (found["attempts"], found["generation"]) == (2, 3)


async def test_a_reload_while_a_shard_restarts(tmp_path: Path) -> None:
    config = BASE + model("fake", "delay_ms=2&load_ms=300", replicas="2")
    async with running(config, tmp_path) as gateway:
        shards = await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            await ledger.until_answered(20)
            os.kill(shards["fake/cpu:0"]["pid"], signal.SIGKILL)
            await gateway.until(
                lambda shards: (
                    shards["fake/cpu:0"]["state"] != "ready"
                    or shards["fake/cpu:0"]["generation"] > 1
                )
            )
            code, output = await reload(gateway, tmp_path, config)
            assert (code, "no model had changed" in output) == (0, True)
            shards = await gateway.until_ready()
            assert [shard["generation"] for shard in shards.values()] == [2, 1]
            os.kill(shards["fake/cpu:0"]["pid"], signal.SIGKILL)
            code, output = await reload(
                gateway, tmp_path, config.replace("delay_ms=2", "delay_ms=1")
            )
            assert (code, "changed fake" in output) == (0, True)
        ledger.assert_all_right()
        assert [shard["generation"] for shard in (await gateway.until_ready()).values()] == [1, 1]


async def test_a_shard_that_is_killed_while_its_revision_is_coming(tmp_path: Path) -> None:
    """The shard is started again, and the switch waits for it."""
    async with running(BASE + model("fake"), tmp_path) as gateway:
        await gateway.until_ready()
        write(tmp_path, BASE + model("fake", "load_ms=4000"))
        gateway.signal(signal.SIGHUP)
        found = await until(
            gateway, lambda found: any(model["shards"][0]["pid"] for model in found["coming"])
        )
        os.kill(found["coming"][0]["shards"][0]["pid"], signal.SIGKILL)
        found = await until_settled(gateway)
        assert found["last"]["ok"]
        assert (await gateway.until_ready())["fake/cpu:0"]["generation"] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_reload_and_a_stop_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """Before and during the reload: accepted requests finish, and nothing is left."""
    async with running(BASE + model("fake", "delay_ms=200"), tmp_path) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        requests = [asyncio.create_task(ledger.send(request)) for request in range(5)]
        await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] > 0)
        write(tmp_path, BASE + model("fake", "load_ms=60000"))
        gateway.signal(signal.SIGHUP)
        await until(
            gateway, lambda found: any(model["shards"][0]["pid"] for model in found["coming"])
        )
        processes = gateway.shard_processes
        gateway.signal(signal.SIGHUP)
        gateway.signal(number)
        gateway.signal(signal.SIGHUP)
        await asyncio.gather(*requests)
        ledger.assert_all_right()
        assert await gateway.wait() == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=60)
        assert alive == []


async def test_ten_reloads_leak_neither_processes_nor_descriptors(tmp_path: Path) -> None:
    def config(turn: int) -> str:
        options = "refuse=78" if turn % 5 == 4 else f"delay_ms={1 + turn % 2}"
        return BASE + model("fake", options, replicas="2") + OTHER

    async with running(config(0), tmp_path) as gateway:
        await gateway.until_ready()
        process = psutil.Process(gateway.process.pid)
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            for turn in range(1, 13):
                write(tmp_path, config(turn))
                gateway.signal(signal.SIGHUP)
                found = await until_settled(gateway, attempt=turn)
                if turn == 2:  # now every part has worked once
                    descriptors, children = gateway.descriptors, len(process.children())
        ledger.assert_all_right()
        assert found["attempts"] == 12
        await gateway.until_at_rest(descriptors, children)


@pytest.mark.parametrize("text", ["", "port = 0\n", "[models.fake]\nsource = "])
async def test_an_emptied_or_truncated_file_replaces_nothing(tmp_path: Path, text: str) -> None:
    async with running(BASE + model("fake") + OTHER, tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        (tmp_path / "gateway.toml").write_text(text)
        gateway.signal(signal.SIGHUP)
        found = await until_settled(gateway)
        assert not found["last"]["ok"]
        if "models" not in text:
            assert (
                "this would remove model 'fake', model 'other', and" in found["last"]["errors"][0]
            )
        assert pids(await gateway.shards()) == before
        code, output = await command(gateway, "reload")
        assert code == 1, output
        assert pids(await gateway.shards()) == before


async def test_models_go_on_purpose(tmp_path: Path) -> None:
    async with running(BASE + model("fake") + OTHER, tmp_path) as gateway:
        await gateway.until_ready()
        code, output = await reload(gateway, tmp_path, BASE + OTHER)
        assert (code, "would remove model 'fake'. Restore" in output) == (1, True), output
        code, output = await command(gateway, "reload", "--remove")
        assert (code, "removed fake" in output) == (0, True), output


async def test_limits_and_logs_come_into_effect_although_a_model_fails(tmp_path: Path) -> None:
    async with running(BASE + model("fake"), tmp_path) as gateway:
        await gateway.until_ready()
        changed = (
            'log_level = "debug"\n[limits]\ndocuments = 2\nbody_bytes = 2000\nquery_bytes = 99\n'
            "document_bytes = 999\n"
        )
        code, output = await reload(gateway, tmp_path, changed + BASE + model("fake", "refuse=78"))
        assert code == 1
        assert "limits, logs and the certificate of the new configuration are in effect" in output
        assert "the models stay as they were" in output
        assert (await gateway.rerank(["a"]))[0] == 200
        assert (await gateway.rerank(["a", "b", "c"]))[0] == 400
        assert (await gateway.rerank(["a" * 3000]))[0] == 413
        assert b'"level":"debug"' in gateway.log.read_bytes()
