"""The operator of a real gateway: writes its configuration, runs commands, reads its reloads."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from gateway.cli.operator_socket import socket_of_url
from tests.system.running import Gateway

BASE = """
[supervision]
backoff_first_seconds = 0.05
crash_limit = 2
"""
OTHER = '[models.other]\nsource = "fake"\nengine = "fake"\n'


def model(name: str, options: str = "delay_ms=2", **keys: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[models.{name}]\nsource = "fake?{options}"\nengine = "fake"\n{lines}'


def write(folder: Path, config: str) -> None:
    (folder / "gateway.toml").write_text("port = 0\n" + config)


async def command(gateway: Gateway, *arguments: str, seconds: float = 120) -> tuple[int, str]:
    """Run a command of the operator; return its exit code and its stderr."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gateway", *arguments, "--url", gateway.url],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stderr


async def post(gateway: Gateway, path: str) -> Any:
    """Post to the operator's socket; return the JSON of the reply."""
    found = socket_of_url(gateway.url)
    assert found is not None
    connector = aiohttp.UnixConnector(str(found))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://localhost" + path) as reply,
    ):
        return await reply.json()


async def reload(gateway: Gateway, folder: Path, config: str, *options: str) -> tuple[int, str]:
    write(folder, config)
    return await command(gateway, "reload", *options)


async def reload_status(gateway: Gateway) -> dict[str, Any]:
    _, status = await gateway.get("/status")
    found: dict[str, Any] = status["reload"]
    return found


async def until(gateway: Gateway, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the reload status meets a condition."""
    async with asyncio.timeout(120):
        while not condition(found := await reload_status(gateway)):
            await asyncio.sleep(0.02)
    return found


async def until_settled(gateway: Gateway, attempt: int = 1) -> dict[str, Any]:
    """Wait for the end of a reload and of the revisions that it replaced."""
    return await until(
        gateway,
        lambda found: (
            found["last"] is not None
            and found["last"]["attempt"] >= attempt
            and not found["leaving"]
            and not found["running"]
        ),
    )


def pids(shards: dict[str, Any]) -> dict[str, int]:
    return {name: shard["pid"] for name, shard in shards.items()}
