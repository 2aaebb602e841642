"""The operator's socket, which needs no key, only permission to open it; and `--api-key`."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway.cli.serve.port import PortUnavailable, listen_for_operator
from tests.gateway.cli.conftest import CLEAN, on_read_only_disk
from tests.gateway.http.keys.making import bearer, write_keys
from tests.system.operator import model
from tests.system.running import running

CONFIG = 'keys_file = "keys.toml"\nadmin_socket = "admin.sock"\n'


def command(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run a command of the operator."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def test_commands_find_the_socket_and_need_no_key(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", user={}, operator={"admin": True})
    path = tmp_path / "admin.sock"
    async with running(CONFIG + model("m"), tmp_path) as gateway:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            body = {"query": "q", "documents": ["a"]}
            async with session.post("http://localhost/v1/rerank", json=body) as reply:
                assert reply.status == 200  # and the shard is ready
        here = {"GATEWAY_ADMIN_SOCKET": str(path)}
        code, out, _ = command("status", "--json", **here)
        assert code == 0
        assert [key["id"] for key in json.loads(out)["keys"]] == ["user", "operator"]
        assert command("reload", **here)[0] == 0
        code, _, err = command("drain", "m", "--url", f"unix:{path}")
        assert code == 0, err
        assert (await gateway.get("/livez"))[0] == 200
        gateway.process.terminate()
        assert await gateway.wait() == 0
        assert not path.exists()


async def test_a_key_opens_the_port_to_commands(tmp_path: Path) -> None:
    secrets = write_keys(tmp_path / "keys.toml", user={}, operator={"admin": True})
    file = tmp_path / "secret"
    file.write_text(secrets["operator"] + "\n")
    async with running(CONFIG + model("m"), tmp_path) as gateway:
        url, nowhere = ("--url", gateway.url), {"GATEWAY_ADMIN_SOCKET": str(tmp_path / "none")}
        gateway.session.headers.update(bearer(secrets["operator"]))
        await gateway.until_ready()
        for given in (secrets["operator"], f"@{file}"):
            assert command("status", *url, "--api-key", given)[0] == 0
        assert command("reload", *url, RERANK_API_KEY=secrets["operator"], **nowhere)[0] == 0
        for arguments, words in (
            ((), "an API key is needed"),
            (("--api-key", "wrong"), "is not known here"),
            (("--api-key", secrets["user"]), "it needs one with admin = true"),
        ):
            code, _, err = command("status", *url, *arguments)
            assert (code, words in err) == (2, True), err
            code, _, err = command("drain", "m", *url, *arguments)
            assert (code, words in err) == (1, True), err
        ask = ("rerank", "-q", "q", "-d", "a", "--json", *url)
        assert command(*ask, RERANK_API_KEY=secrets["user"])[0] == 0
        code, _, err = command(*ask, "--api-key", "wrong")
        assert code == 1 and "401: this API key is not known here" in err


def test_a_socket_that_is_left_over_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with (
        listen_for_operator(path),
        pytest.raises(PortUnavailable, match="another gateway listens there"),
    ):
        listen_for_operator(path)
    assert path.exists()
    before = os.umask(0)
    try:
        with listen_for_operator(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
    finally:
        os.umask(before)


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (path := tmp_path / "admin.sock").write_text("mine")
    with pytest.raises(PortUnavailable, match="a file is in its place"):
        listen_for_operator(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["nowhere/admin.sock", "x" * 120])
def test_an_impossible_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PortUnavailable, match="cannot be made"):
        listen_for_operator(tmp_path / name)


def test_a_read_only_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    (file := tmp_path / "gateway.toml").write_text(
        f'port = 0\nadmin_socket = "a.sock"\n{model("m")}'
    )
    found = on_read_only_disk(tmp_path, "serve", "--config", str(file))
    assert found.returncode == 69
    assert (
        f"admin_socket {tmp_path / 'a.sock'} cannot be made (Read-only file system)" in found.stderr
    )
