"""Keys in a real gateway: refused files, rotation by reload, and one greedy key."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.http.keys import KeyFile
from gateway.http.keys.text import with_key
from tests.gateway.http.keys.making import bearer, made, write_keys
from tests.system.operator import model, reload_status, until, until_settled
from tests.system.running import Gateway, running

PATIENCE_SECONDS = 120.0
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
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
        assert {name: shard["pid"] for name, shard in (await gateway.shards()).items()} == pids


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
    """Otherwise a reload would admit requests without a key from other machines."""
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
    """Thirty large requests of one key wait; an equal one of another key overtakes nearly all."""
    secrets = write_keys(tmp_path / "keys.toml", greedy={}, modest={}, operator={"admin": True})
    answered: list[str] = []

    async def ask(key: str) -> None:
        assert await rerank(gateway, secrets[key], documents=200) == 200
        answered.append(key)

    limits = {"max_length": "8", "token_budget": "512", "replicas": "1"}
    config = "score_cache_mb = 0\n" + KEYS + model("m", "delay_ms=100", **limits)
    async with running(config, tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        await gateway.until_ready()
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(ask("greedy"))
            while sum(model["queue"] for model in (await gateway.models()).values()) < 40:
                await asyncio.sleep(0.01)
            before = len(answered)
            await ask("modest")
            assert len(answered) - before < 15
        assert len(answered) == 31


async def until_refused(gateway: Gateway, secret: str) -> None:
    """Wait until a key is refused."""
    started = time.monotonic()
    while await models(gateway, secret) == 200:
        assert time.monotonic() - started < PATIENCE_SECONDS
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("way", ["with the model", "during the load", "by gateway key revoke"])
async def test_a_revoked_key_waits_for_no_model(tmp_path: Path, way: str) -> None:
    """The model loads longer than the test has patience, so no reload ends meanwhile."""
    file, socket = tmp_path / "keys.toml", tmp_path / "admin.sock"
    secrets = write_keys(file, leaked={}, operator={"admin": True})
    config = KEYS + 'admin_socket = "admin.sock"\n'
    slow = f"port = 0\n{config}{model('m', f'load_ms={int(3000 * PATIENCE_SECONDS)}')}"
    async with running(config + model("m"), tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        await gateway.until_ready()
        assert await models(gateway, secrets["leaked"]) == 200
        (tmp_path / "gateway.toml").write_text(slow)
        if way != "with the model":
            gateway.signal(signal.SIGHUP)
            await until(gateway, lambda found: bool(found["coming"]))
        before = (await reload_status(gateway))["keys"]["attempts"]
        if way == "by gateway key revoke":
            code, _, err = await revoke("leaked", file, socket)
            assert (code, f"unix:{socket} refuses it from now on" in err) == (0, True), err
            assert await models(gateway, secrets["leaked"]) == 401
        else:
            text = file.read_text().replace("[leaked]", "[leaked]\nrevoked = 2026-01-01")
            file.write_text(text)
            gateway.signal(signal.SIGHUP)
            await until_refused(gateway, secrets["leaked"])
        found = await until(gateway, lambda found: found["keys"]["attempts"] > before)
        assert (found["last"], found["keys"]["ok"]) == (None, True)  # the model still loads


async def revoke(id_: str, file: Path, socket: Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gateway", "key", "revoke", id_, "--keys-file", str(file)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "GATEWAY_ADMIN_SOCKET": str(socket)},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_key_is_refused_although_the_configuration_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    secrets = write_keys(file, leaked={}, operator={"admin": True})
    async with running(KEYS + model("m"), tmp_path) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        file.write_text(file.read_text().replace("[leaked]", "[leaked]\nrevoked = 2026-01-01"))
        (tmp_path / "gateway.toml").write_text("[models.m\n")
        gateway.signal(signal.SIGHUP)
        assert not (await until_settled(gateway))["last"]["ok"]
        assert await models(gateway, secrets["leaked"]) == 401


def test_a_revocation_without_a_gateway_names_the_reload(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, leaked={}, other={})
    code, _, err = asyncio.run(revoke("leaked", file, tmp_path / "none.sock"))
    assert (code, "`gateway reload` brings the change into effect" in err) == (0, True), err
