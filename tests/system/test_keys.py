"""Keys in a real gateway: refused files, rotation by reload, and one key that wants everything."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.keys import KeyFile
from gateway.keys.text import with_key
from tests.gateway.keys.making import bearer, made, write_keys
from tests.system.operator import model, until_settled
from tests.system.running import Gateway, running

KEYS = 'keys_file = "keys.toml"\n'


async def models(gateway: Gateway, secret: str) -> int:
    async with gateway.session.get(f"{gateway.url}/v1/models", headers=bearer(secret)) as reply:
        return reply.status


async def rerank(gateway: Gateway, secret: str, documents: int) -> int:
    body = {"query": "q", "documents": [f"document {place}" for place in range(documents)]}
    url, headers = f"{gateway.url}/v1/rerank", bearer(secret)
    async with gateway.session.post(url, json=body, headers=headers) as reply:
        await reply.read()
        return reply.status


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is not there"),
        ("[a]\nx = 1\n", "a.hash: is missing"),
    ],
)
def test_a_broken_file_is_refused_at_the_start(
    tmp_path: Path, text: str | None, words: str
) -> None:
    (tmp_path / "gateway.toml").write_text(f"port = 0\n{KEYS}{model('m')}")
    if text is not None:
        (tmp_path / "keys.toml").write_text(text)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 78
    assert str(tmp_path / "keys.toml") in done.stderr
    assert words in done.stderr


async def test_keys_are_rotated_by_a_reload(tmp_path: Path) -> None:
    secrets = write_keys(tmp_path / "keys.toml", old={}, operator={"admin": True})
    async with running(KEYS + model("m"), tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        assert await models(gateway, secrets["old"]) == 200
        pids = {name: shard["pid"] for name, shard in (await gateway.until_ready()).items()}
        new, key = made("new")
        KeyFile(tmp_path / "keys.toml").change(
            lambda text: with_key(text.replace("[old]", "[old]\nrevoked = 2026-01-01"), key)
        )
        assert await models(gateway, new) == 401
        gateway.signal(signal.SIGHUP)
        found = await until_settled(gateway)
        assert found["last"]["ok"], found
        assert (await models(gateway, secrets["old"]), await models(gateway, new)) == (401, 200)
        assert {name: one["pid"] for name, one in (await gateway.shards()).items()} == pids


@pytest.mark.parametrize("text", ["[a", ""])
async def test_a_broken_file_leaves_the_old_keys_in_force(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    secrets = write_keys(file, user={}, operator={"admin": True})
    async with running(KEYS + model("m"), tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        file.write_text(text)
        gateway.signal(signal.SIGHUP)
        found = (await until_settled(gateway))["last"]
        assert not found["ok"]
        assert str(file) in found["errors"][0]
        assert await models(gateway, secrets["user"]) == 200
        assert await models(gateway, "any") == 401


async def test_keys_that_are_taken_out_of_the_configuration_stay(tmp_path: Path) -> None:
    """Else a reload would open the door of a gateway that listens to everybody."""
    secrets = write_keys(tmp_path / "keys.toml", operator={"admin": True})
    async with running(KEYS + model("m"), tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        (tmp_path / "gateway.toml").write_text(f"port = 0\n{model('m')}")
        gateway.signal(signal.SIGHUP)
        found = (await until_settled(gateway))["last"]
        assert found["ok"]
        assert "keys_file is gone: the keys stay in force" in found["warnings"][0]
        assert await models(gateway, "any") == 401


async def test_a_greedy_key_does_not_hold_up_another(tmp_path: Path) -> None:
    """Thirty large requests of one key are in; the other's, as large, passes nearly all of them."""
    secrets = write_keys(tmp_path / "keys.toml", greedy={}, modest={}, operator={"admin": True})
    answered: list[str] = []

    async def ask(who: str) -> None:
        assert await rerank(gateway, secrets[who], documents=200) == 200
        answered.append(who)

    config = KEYS + model("m", "delay_ms=30", max_length="8", token_budget="512", replicas="1")
    async with running(config, tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        await gateway.until_ready()
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(ask("greedy"))
            while sum(one["queue"] for one in (await gateway.models()).values()) < 40:
                await asyncio.sleep(0.01)
            before = len(answered)
            await ask("modest")
            assert len(answered) - before < 8
        assert len(answered) == 31
