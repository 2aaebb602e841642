"""Clients that are silent, slow, too many, or never read: they are cut off, and harm no other."""

import asyncio
import contextlib
import json
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.system.raw import (
    PATIENCE_SECONDS,
    STATUS,
    assert_refused,
    connect,
    get,
    port_of,
    post,
    read_all,
    read_reply,
)
from tests.system.running import Gateway, Ledger, running

_FAKE = """
[models.fake]
source = "fake"
engine = "fake"
"""
_IMPATIENT = """
[http]
first_byte_seconds = 1.5
header_seconds = 1.5
body_seconds = 1.5
keep_alive_seconds = 1.5
write_seconds = 1.5
"""
_HALF_HEAD = get()[:-2]
_HALF_BODY = post(b"Content-Length: 100", body=b"{")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway that gives its clients a second and a half for each step."""
    config = _IMPATIENT + "[limits]\nbody_bytes = 30_000_000\n" + _FAKE
    async with running(config, tmp_path_factory.mktemp("gateway")) as gateway:
        await gateway.until_ready()
        yield gateway


def drip(connection: socket.socket, drop: bytes) -> bytes:
    """Send a byte at a time until the other side closes; return its reply."""
    connection.settimeout(0.05)
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < end:
            connection.sendall(drop)
            try:
                if not (received := connection.recv(65536)):
                    return b""
            except TimeoutError:
                continue
            connection.settimeout(PATIENCE_SECONDS)
            return received + read_all(connection)
    except ConnectionError:
        return b""
    raise AssertionError("a slow client was never cut off")


SLOW: dict[str, tuple[bytes, bytes, int | None]] = {
    "silent": (b"", b"", None),
    "half a head": (_HALF_HEAD, b"", 408),
    "dripping head": (_HALF_HEAD, b"X", 408),
    "half a body": (_HALF_BODY, b"", 408),
    "dripping body": (_HALF_BODY, b"{", 408),
    "dripping empty lines": (b"\r\n", b"\r\n", 408),
}
"""The bytes sent at first, the bytes sent again and again, and the status of the reply."""


@pytest.mark.parametrize(("first", "drop", "status"), SLOW.values(), ids=SLOW)
def test_slow_clients_are_ended(
    impatient: Gateway, first: bytes, drop: bytes, status: int | None
) -> None:
    with connect(port_of(impatient)) as connection:
        connection.sendall(first)
        received = drip(connection, drop) if drop else read_all(connection)
    if status is None:
        assert received == b""
    else:
        assert_refused(received, status)


def test_an_idle_connection_is_closed_without_a_reply(impatient: Gateway) -> None:
    with connect(port_of(impatient)) as connection:
        connection.sendall(get())
        assert read_reply(connection)[0] == 200
        assert read_all(connection) == b""


def test_a_late_body_is_logged_with_its_status(impatient: Gateway) -> None:
    """The application sees a client that has left; log and reply agree on status and id."""
    with connect(port_of(impatient)) as connection:
        connection.sendall(_HALF_BODY.replace(b"Host:", b"X-Request-Id: half-a-body\r\nHost:", 1))
        assert b"x-request-id: half-a-body" in read_all(connection)
    with connect(port_of(impatient)) as connection:  # its line comes after that of the other
        connection.sendall(get())
        assert read_reply(connection)[0] == 200
    lines = [json.loads(line) for line in impatient.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "half-a-body"]
    assert (line["event"], line["code"]) == ("request", 408)


async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """A reply of 8 MB does not fit in the kernel's buffers; the gateway's own are released."""
    config = "[http]\nwrite_seconds = 0.5\n[limits]\nbody_bytes = 16_000_000\n" + _FAKE
    documents = [f"{number}" + "x" * 900_000 for number in range(9)]
    body = json.dumps({"query": "q", "documents": documents, "return_documents": True}).encode()
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE_SECONDS)
            await asyncio.to_thread(connection.connect, ("127.0.0.1", port_of(gateway)))
            sent = post(b"Content-Length: %d" % len(body), body=body)
            await asyncio.to_thread(connection.sendall, sent)
            await until(lambda: _cut_for(gateway, "not_read"))
            received = await asyncio.to_thread(read_all, connection)
        assert len(received) < len(body)


async def _cut_for(gateway: Gateway, reason: str) -> bool:
    async with gateway.session.get(gateway.url + "/metrics") as reply:
        text = await reply.text()
    return f'reranker_connections_refused_total{{reason="{reason}"}} 1.0' in text


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition, plain or awaitable, holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        holds = condition()
        if await holds if asyncio.iscoroutine(holds) else holds:
            return
        assert time.monotonic() < end, "the condition was never met"
        await asyncio.sleep(0.02)


async def test_many_slow_clients_do_not_hurt_others(tmp_path: Path) -> None:
    async with running(_FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        slow = [connect(port_of(gateway)) for _ in range(200)]
        for connection in slow:
            connection.sendall(_HALF_HEAD if connection.fileno() % 2 else _HALF_BODY)
        ledger = Ledger(gateway)
        async with ledger.load(clients=8):
            await ledger.until_answered(200)
        ledger.assert_all_right()
        for connection in slow:
            connection.close()


# -- floods ----------------------------------------------------------------------------------------

_NARROW = """
[http]
connections = 20
connections_per_address = 12
"""


async def test_connections_are_counted_by_address_and_in_all(tmp_path: Path) -> None:
    async with running(_NARROW + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()  # this client keeps one connection, from 127.0.0.1
        port = port_of(gateway)
        held = []
        for source, room in (("127.0.0.2", 12), ("127.0.0.3", 7)):
            held += [_held(port, source) for _ in range(room)]
            with connect(port, source=source) as one_more:
                assert_refused(read_all(one_more), 503, "too_many_connections")
        assert (await gateway.get("/livez"))[0] == 200
        held.pop().close()
        await until(lambda: _is_served(port, "127.0.0.3"))
        for connection in held:
            connection.close()


def _held(port: int, source: str) -> socket.socket:
    """Open a connection that has been served once."""
    connection = connect(port, source=source)
    connection.sendall(get())
    assert read_reply(connection)[0] == 200
    return connection


def _is_served(port: int, source: str) -> bool:
    with connect(port, source=source) as connection:
        connection.sendall(get(b"Connection: close"))
        return STATUS.findall(read_all(connection)) == [b"200"]


async def test_a_flood_takes_no_more_descriptors_than_allowed(tmp_path: Path) -> None:
    config = _NARROW + "first_byte_seconds = 600\n" + _FAKE  # so that only the limits close any
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        process = psutil.Process(gateway.process.pid)
        before = process.num_fds()
        with contextlib.ExitStack() as flood:
            for number in range(400):
                source = f"127.0.1.{number % 200 + 1}"
                flood.enter_context(connect(port_of(gateway), source=source))
            ledger = Ledger(gateway)
            for number in range(20):
                await ledger.send(number)  # over the one connection that was there before
            ledger.assert_all_right()
            # Many may be accepted at once, before the first of them is refused.
            await until(lambda: process.num_fds() <= before + 20 + 64)
        await until(lambda: process.num_fds() <= before)


async def test_without_descriptors_the_open_connections_live_on(tmp_path: Path) -> None:
    async with running("[http]\nfirst_byte_seconds = 1\n" + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        process = psutil.Process(gateway.process.pid)
        limits = process.rlimit(resource.RLIMIT_NOFILE)
        room = 10
        process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + room, limits[1]))
        flood = [connect(port_of(gateway)) for _ in range(200)]
        ledger = Ledger(gateway)
        used, started = sum(process.cpu_times()[:2]), time.monotonic()
        async with ledger.load(clients=1):
            await ledger.until_answered(50)
        ledger.assert_all_right()
        await asyncio.to_thread(read_all_but, flood, room)
        spent = sum(process.cpu_times()[:2]) - used
        assert spent < max(2.0, 0.5 * (time.monotonic() - started))
        for connection in flood:
            connection.close()
        await until(lambda: _is_served(port_of(gateway), "127.0.0.1"))
        process.rlimit(resource.RLIMIT_NOFILE, limits)


def read_all_but(connections: list[socket.socket], room: int) -> None:
    """Wait until the other side has closed all but `room` of the connections."""
    closed = 0
    for connection in connections:
        connection.settimeout(0.5 if closed >= len(connections) - room else PATIENCE_SECONDS)
        try:
            closed += read_all(connection) == b""
        except TimeoutError:
            continue
    assert closed >= len(connections) - room


async def test_time_in_which_the_gateway_is_stopped_does_not_count(tmp_path: Path) -> None:
    """Bytes that clients send to a gateway that is stopped for longer than its limits count."""
    ok = b'{"query": "q", "documents": ["a"]}'
    request = post(b"Content-Length: %d" % len(ok), body=ok)
    head = request[: -len(ok)]
    async with running(_IMPATIENT.replace("1.5", "5") + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        port = port_of(gateway)
        sent = {"nothing": 0, "half a head": 20, "a head": len(head), "half a body": -9}
        connections = [connect(port) for _ in sent]
        for connection, size in zip(connections, sent.values(), strict=True):
            connection.sendall(request[:size])
        assert (await gateway.get("/livez"))[0] == 200  # so that these bytes have been read
        gateway.signal(signal.SIGSTOP)
        for connection, size in zip(connections, sent.values(), strict=True):
            connection.sendall(request[size:])
        await asyncio.sleep(8)  # longer than the limits
        gateway.signal(signal.SIGCONT)
        for connection, name in zip(connections, sent, strict=True):
            status, _, _ = await asyncio.to_thread(read_reply, connection)
            assert status == 200, name
            connection.close()
        assert not any(shard["restarts"] for shard in (await gateway.shards()).values())
