"""SIGTERM, once and twice, with clients attached that would keep a gateway from ending."""

import asyncio
import json
import signal
import socket
import time
from pathlib import Path

import psutil

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

_FAKE = """
[models.fake]
source = "fake?delay_ms=100"
engine = "fake"
token_budget = 1
[models.quick]
source = "fake"
engine = "fake"
"""
_LONG = json.dumps({"query": "q", "documents": ["a"] * 600}).encode()
"""A request that takes the first model a minute, since it reads one document at a time."""

_ASK_LONG = post(b"Content-Length: %d" % len(_LONG), body=_LONG)


def _resting(port: int) -> socket.socket:
    connection = connect(port)
    connection.sendall(get())
    assert read_reply(connection)[0] == 200
    return connection


def _unread(port: int) -> socket.socket:
    """Ask for more than the kernel buffers, and never read it."""
    documents = ["x" * 900_000] * 9
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
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=10)
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
        assert time.monotonic() - started < 1 + 5
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
        assert await asyncio.to_thread(read_all, resting) == b""  # the end has begun
        assert gateway.process.poll() is None
        gateway.signal(signal.SIGINT)
        started = time.monotonic()
        received = await asyncio.to_thread(read_all, in_progress)
        assert_refused(received, 503, "shutting_down")
        assert await gateway.wait() == -signal.SIGINT
        assert time.monotonic() - started < 2
        assert await _nothing_is_left(processes)
        for connection in (resting, in_progress):
            connection.close()


async def test_a_load_balancer_is_given_notice(tmp_path: Path) -> None:
    """After the signal `/readyz` says no, requests are still answered, connections end."""
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
