"""SIGTERM, once and twice, with clients that would keep a gateway from ending."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.gateway.http.keys.making import write_keys
from tests.system.operator import model, write
from tests.system.raw import (
    LENGTH,
    OK,
    PATIENCE_SECONDS,
    assert_refused,
    connect,
    get,
    port_of,
    post,
    read_all,
    read_reply,
)
from tests.system.running import Gateway, running

BOUND_SECONDS = 45.0
"""The promise is `drain_seconds` + 5; with four times more work than cores everything is slower.
What must not be waited for takes minutes. `GATEWAY_TERMINATIONS_FILE` collects the real times."""

_FAKE = """
[models.fake]
source = "fake?delay_ms=100"
engine = "fake"
token_budget = 1
[models.quick]
source = "fake"
engine = "fake"
"""
_LONG = json.dumps({"query": "q", "documents": [f"{n}" for n in range(600)]}).encode()
"""A request that takes the first model a minute, because it scores one document at a time."""

_ASK_LONG = post(b"Content-Length: %d" % len(_LONG), body=_LONG)


def _resting(port: int) -> socket.socket:
    connection = connect(port)
    connection.sendall(get())
    assert read_reply(connection)[0] == 200
    return connection


def _unread(port: int) -> socket.socket:
    """Request a reply that exceeds the buffers of the kernel, and never read it."""
    documents = [f"{number}" + "x" * 900_000 for number in range(9)]
    fields = {"model": "quick", "query": "q", "documents": documents, "return_documents": True}
    body = json.dumps(fields).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect(("127.0.0.1", port))
    connection.sendall(post(b"Content-Length: %d" % len(body), body=body))
    return connection


def _sent(port: int, data: bytes) -> socket.socket:
    connection = connect(port)
    connection.sendall(data)
    return connection


async def _nothing_is_left(processes: list[psutil.Process]) -> bool:
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=60)
    return alive == []


async def test_slow_clients_cannot_delay_the_end(tmp_path: Path) -> None:
    config = "drain_seconds = 1\n[limits]\nbody_bytes = 16_000_000\n"
    async with running(config + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        port, processes = port_of(gateway), gateway.shard_processes
        closed_at_once = [connect(port), _sent(port, get()[:-2]), _resting(port)]
        unread = await asyncio.to_thread(_unread, port)
        half_a_body = _sent(port, post(b"Content-Length: 100", body=b"{"))
        in_progress = _sent(port, _ASK_LONG)
        await _until_queued(gateway)
        gateway.signal(signal.SIGTERM)
        started = time.monotonic()
        for connection in closed_at_once:
            assert await asyncio.to_thread(read_all, connection) == b""
        for connection in (half_a_body, in_progress):
            received = await asyncio.to_thread(read_all, connection)
            assert_refused(received, 503, "shutting_down")
        assert await gateway.wait() == 0
        assert time.monotonic() - started < BOUND_SECONDS
        assert await _nothing_is_left(processes)
        for connection in (*closed_at_once, unread, half_a_body, in_progress):
            connection.close()


async def _until_queued(gateway: Gateway) -> None:
    """Wait until the slow model has its request."""
    await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] > 0)


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with running("drain_seconds = 600\n" + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        port, processes = port_of(gateway), gateway.shard_processes
        resting, in_progress = _resting(port), _sent(port, _ASK_LONG)
        await _until_queued(gateway)
        gateway.signal(signal.SIGTERM)
        assert await asyncio.to_thread(read_all, resting) == b""  # the shutdown has begun
        assert gateway.process.poll() is None
        gateway.signal(signal.SIGINT)
        started = time.monotonic()
        received = await asyncio.to_thread(read_all, in_progress)
        assert_refused(received, 503, "shutting_down")
        assert await gateway.wait() == -signal.SIGINT
        assert time.monotonic() - started < BOUND_SECONDS
        assert await _nothing_is_left(processes)
        for connection in (resting, in_progress):
            connection.close()


async def test_a_load_balancer_is_given_notice(tmp_path: Path) -> None:
    """After the signal `/readyz` fails, requests are still answered, and connections end."""
    config = "drain_notice_seconds = 600\n" + _FAKE
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        port = port_of(gateway)
        kept, other = _resting(port), _resting(port)
        gateway.signal(signal.SIGTERM)
        while (await gateway.get("/readyz"))[0] == 200:
            await asyncio.sleep(0.01)
        kept.sendall(get(target=b"/readyz"))
        status, headers, body = read_reply(kept)
        assert (status, headers["connection"]) == (503, "close")
        assert json.loads(body)["reasons"] == ["the gateway is stopping"]
        other.sendall(post(LENGTH, body=OK))
        status, headers, _ = read_reply(other)
        assert (status, headers["connection"]) == (200, "close")
        assert (await gateway.rerank(["a"]))[0] == 200  # over a new connection
        gateway.signal(signal.SIGTERM)
        assert await gateway.wait() == -signal.SIGTERM
        for connection in (kept, other):
            connection.close()


DRAIN_SECONDS = 1
TERMINATIONS = int(os.environ.get("GATEWAY_TERMINATIONS", "12"))
_DRAIN = f"drain_seconds = {DRAIN_SECONDS}\n"


async def _seconds_to_end(gateway: Gateway) -> float:
    """Send SIGTERM; return the seconds until the gateway has ended with code 0."""
    processes = gateway.shard_processes
    gateway.signal(signal.SIGTERM)
    started = time.monotonic()
    assert await gateway.wait() == 0
    seconds = time.monotonic() - started
    assert await _nothing_is_left(processes)
    return seconds


@pytest.mark.parametrize("name", ["gateway.toml", "keys.toml"])
async def test_a_reload_that_reads_a_blocked_pipe_does_not_survive_the_end(
    tmp_path: Path, name: str
) -> None:
    write_keys(tmp_path / "keys.toml", user={})
    config = _DRAIN + 'keys_file = "keys.toml"\nadmin_socket = "admin.sock"\n' + model("m")
    async with running(config, tmp_path) as gateway:
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        for _ in range(3):
            gateway.signal(signal.SIGHUP)
            await asyncio.sleep(0.2)
        assert await _seconds_to_end(gateway) < BOUND_SECONDS
        assert b"the process ends without the rest" not in gateway.log.read_bytes()


@pytest.mark.parametrize("name", ["gateway.toml", "keys.toml"])
def test_a_start_that_reads_a_blocked_pipe_ends_at_once(tmp_path: Path, name: str) -> None:
    write_keys(tmp_path / "keys.toml", user={})
    write(tmp_path, 'keys_file = "keys.toml"\n' + model("m"))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    _until_reading(process.pid)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - started < BOUND_SECONDS
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def _until_reading(pid: int) -> None:
    """Wait until a thread of a process is in the open of a pipe."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        tasks = Path(f"/proc/{pid}/task").glob("*/comm")
        if len(list(tasks)) > 1 and psutil.Process(pid).num_threads() > 1:
            time.sleep(0.2)
            return
        time.sleep(0.01)
    raise AssertionError("no thread reads")


async def test_shards_that_do_not_end_are_left_behind(tmp_path: Path) -> None:
    """A stopped shard has 10 s to end: more than the whole gateway has."""
    config = _DRAIN + model("m") + model("other")
    async with running(config, tmp_path) as gateway:
        for shard in (await gateway.until_ready()).values():
            os.kill(shard["pid"], signal.SIGSTOP)
        assert await _seconds_to_end(gateway) < BOUND_SECONDS


def _after(place: int) -> float:
    """Return a moment after the start, early ones more often; the same in every run."""
    return 3.0 * random.Random(place).random() ** 2


@pytest.mark.parametrize("place", range(TERMINATIONS))
async def test_the_end_is_bounded_at_any_moment(tmp_path: Path, place: int) -> None:
    """While the gateway starts, loads, reloads, reads blocked files or has stopped shards."""
    kind = ("start", "load", "reload", "blocked", "stopped", "busy")[place % 6]
    write_keys(tmp_path / "keys.toml", user={}, operator={"admin": True})
    config = _DRAIN + 'admin_socket = "admin.sock"\n'
    write(tmp_path, config + model("m", "load_ms=600000" if kind == "load" else "delay_ms=100"))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    await asyncio.sleep(_after(place))
    if kind in {"reload", "blocked", "stopped", "busy"}:
        await _until_listening(tmp_path / "log", process)
        await asyncio.sleep(_after(place) / 3)
    _disturb(kind, process.pid, tmp_path, config)
    await asyncio.sleep(_after(place) / 3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    code = await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
    seconds = time.monotonic() - started
    text = (tmp_path / "log").read_text()
    assert seconds < BOUND_SECONDS, (kind, text)
    assert code == 0 or (not text and code == -signal.SIGTERM), (kind, text)
    assert await _nothing_is_left(children)
    assert "Traceback" not in text
    if path := os.environ.get("GATEWAY_TERMINATIONS_FILE"):
        with Path(path).open("a") as file:
            file.write(f"{seconds:.2f} {kind}\n")


async def _until_listening(log: Path, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"listening on" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            await asyncio.sleep(0.02)


def _disturb(kind: str, pid: int, folder: Path, config: str) -> None:
    """Begin what the end interrupts."""
    if kind == "reload":
        write(folder, config + model("m", "load_ms=600000"))
        os.kill(pid, signal.SIGHUP)
    elif kind == "blocked":
        (folder / "gateway.toml").unlink()
        os.mkfifo(folder / "gateway.toml")
        os.kill(pid, signal.SIGHUP)
    elif kind == "stopped":
        for child in psutil.Process(pid).children():
            if "spawn_main" in " ".join(child.cmdline()):  # not the helper of `multiprocess`
                child.suspend()
