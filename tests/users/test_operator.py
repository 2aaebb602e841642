"""The task of an operator: a configuration with keys, a refused upgrade, a crash, an end."""

import json
import signal
import time
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from tests.gateway.cli.conftest import Serving, gateway

CONFIG = """
port = 0
keys_file = "keys.toml"
[models.small]
source = "embedded:bert"
devices = ["cpu"]
threads = 1
"""
BROKEN = '[models.large]\nsource = "/nowhere/large"\n'
PATIENCE_SECONDS = 120.0


def key(folder: Path, name: str, *options: str) -> str:
    made = gateway("key", "new", name, *options, "--keys-file", str(folder / "keys.toml"), "--json")
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


def ask(url: str, secret: str = "") -> tuple[int, Any]:
    """Return status and body of a request for scores."""
    documents = ["Berlin is the capital of Germany.", "Paris is the capital of France."]
    body = json.dumps({"query": "What is the capital of France?", "documents": documents}).encode()
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    try:
        with urlopen(Request(f"{url}/v1/rerank", body, headers), timeout=120) as reply:
            return _answer(reply)
    except HTTPError as error:
        return error.code, json.load(error)


def _answer(reply: HTTPResponse) -> tuple[int, Any]:
    return reply.status, json.load(reply)


def test_from_the_configuration_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG.replace("threads = 1", "thread = 1"))
    wrong = gateway("check", str(file))
    assert (wrong.returncode, "thread" in wrong.stderr) == (78, True)
    file.write_text(CONFIG)
    user, admin = key(tmp_path, "shop"), key(tmp_path, "me", "--admin")
    assert gateway("check", str(file)).returncode == 0

    with Serving("--config", str(file), log=tmp_path / "log") as serving:
        url = serving.url
        assert ask(url)[0] == 401
        status, found = ask(url, user)
        assert (status, found["results"][0]["index"]) == (200, 1)
        target = ("--url", url, "--api-key", admin)

        file.write_text(CONFIG + BROKEN)
        refused = gateway("reload", *target, "--wait")
        assert refused.returncode != 0
        assert "/nowhere/large" in refused.stdout + refused.stderr
        assert ask(url, user)[0] == 200  # a broken upgrade changes nothing

        shown = json.loads(gateway("status", *target, "--json").stdout)
        assert [model["name"] for model in shown["models"]] == ["small"]

        kill_shards(serving.process.pid)
        assert ask(url, user)[0] == 200  # it waits for the shard that takes over
        until_ready(target)

        revoked = gateway("key", "revoke", "shop", "--keys-file", str(tmp_path / "keys.toml"))
        assert "is revoked" in revoked.stderr
        file.write_text(CONFIG)
        assert gateway("reload", *target, "--wait").returncode == 0
        assert ask(url, user)[0] == 401
        assert serving.stop(signal.SIGTERM) == 0
    assert gateway("files", "alerts.yml").stdout.startswith("#")


def kill_shards(pid: int) -> None:
    shards = [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert shards
    for shard in shards:
        shard.kill()


def until_ready(target: tuple[str, ...]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while (done := gateway("status", *target)).returncode != 0:
        assert time.monotonic() < end, done.stdout
