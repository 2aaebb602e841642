"""The server around small apps in this process; tests/system attacks a whole gateway."""

import asyncio
import inspect
import json
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.config import HttpSettings
from gateway.domain.errors import ClientError, TooManyConnections
from gateway.http.server import AllowedHosts, GuardedServer, Watch, protocol, room_for_connections
from gateway.http.server.descriptors import RESERVE
from gateway.http.server.head import check_head
from gateway.http.server.watch import PER_ADDRESS

ANY = AllowedHosts("*")
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(body.decode())(scope, receive, send)


@asynccontextmanager
async def guarding(
    app: ASGIApp, refused: list[str] | None = None, **http: Any
) -> AsyncIterator[int]:
    """Serve an app behind the guard; yield its port."""
    reasons = [] if refused is None else refused
    watch = Watch(HttpSettings(**http), ANY, reasons.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, loop="none", lifespan="off", log_config=None, access_log=False)
        server = GuardedServer(config, watch, drain_seconds=0)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


async def talk(port: int, sent: bytes) -> bytes:
    """Send all of this, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(120):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


# -- internals of uvicorn --------------------------------------------------------------------------

PROTOCOL = {
    *("parser", "url", "headers", "scope", "expect_100_continue", "cycle", "flow", "transport"),
    *("client", "loop", "connections", "server_state", "pipeline"),
}
CYCLE = {
    *("scope", "transport", "message_event", "disconnected", "keep_alive", "response_started"),
    *("response_complete", "waiting_for_100_continue"),
}
OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "shutdown": ["self"],
}


def assigned(kind: type) -> set[str]:
    """Return the attributes of `self` that the methods of a class set."""
    source = inspect.getsource(kind)
    lines = [line.strip() for line in source.splitlines()]
    return {line[5:].split(":")[0].split(" ")[0] for line in lines if line.startswith("self.")}


def test_uvicorn_has_the_internals_that_the_guard_uses() -> None:
    """If this fails after an upgrade of uvicorn, compare its protocol with `protocol.py`."""
    assert assigned(HttpToolsProtocol) >= PROTOCOL
    assert assigned(RequestResponseCycle) >= CYCLE
    assert "read_paused" in assigned(FlowControl)
    for name, parameters in OVERRIDDEN.items():
        method = getattr(HttpToolsProtocol, name)
        assert list(inspect.signature(method).parameters) == parameters, name
    assert assigned(uvicorn.Server) >= {"should_exit", "force_exit", "server_state", "started"}
    for name, words in {
        "_serve": ("await self.startup(", "await self.main_loop()", "await self.shutdown("),
        "shutdown": ("timeout_graceful_shutdown", "if not self.force_exit", "lifespan.shutdown()"),
        "startup": ("http_protocol_class(", "server_state=self.server_state", "self.servers"),
    }.items():
        source = inspect.getsource(getattr(uvicorn.Server, name))
        assert all(word in source for word in words), name


def test_uvicorns_timer_is_never_set() -> None:
    """Only `on_response_complete` sets it, which the guard replaces."""
    source = inspect.getsource(HttpToolsProtocol)
    assert source.count("self.timeout_keep_alive_task = self.loop.call_later") == 1
    assert "self.timeout_keep_alive_task = self.loop" in inspect.getsource(
        HttpToolsProtocol.on_response_complete
    )


# -- hosts -----------------------------------------------------------------------------------------

HOSTS: list[tuple[tuple[str, ...], str, str, bool]] = [
    ((), "127.0.0.1", "localhost", True),
    ((), "127.0.0.1", "localhost:8080", True),
    ((), "127.0.0.1", "LOCALHOST.", True),
    ((), "127.0.0.1", "app.localhost", True),
    ((), "127.0.0.1", "127.0.0.1:1", True),
    ((), "127.0.0.1", "127.1.2.3", True),
    ((), "127.0.0.1", "[::1]:8080", True),
    ((), "127.0.0.1", "[::1]", True),
    ((), "::1", "[::1]", True),
    ((), "localhost", "example.com", False),
    ((), "127.0.0.1", "example.com", False),
    ((), "127.0.0.1", "127.0.0.1.example.com", False),
    ((), "127.0.0.1", "notlocalhost", False),
    ((), "127.0.0.1", "192.168.1.1", False),
    ((), "127.0.0.1", "[::2]", False),
    ((), "127.0.0.1", "", False),
    ((), "127.0.0.1", "localhost:8080:1", False),
    ((), "127.0.0.1", "localhost:http", False),
    ((), "0.0.0.0", "example.com", True),
    ((), "0.0.0.0", "exa mple.com", False),
    (("rerank.example",), "0.0.0.0", "example.com", False),
    (("rerank.example",), "0.0.0.0", "rerank.example:8080", True),
    (("rerank.example",), "0.0.0.0", "localhost", True),
    (("rerank.example",), "10.0.0.7", "10.0.0.7:80", True),
    (("Rerank.example:8080",), "127.0.0.1", "rerank.example:8080", True),
    (("rerank.example:8080",), "127.0.0.1", "rerank.example:80", False),
    (("*.example",), "127.0.0.1", "a.b.example", True),
    (("*.example",), "127.0.0.1", "example", False),
    (("*",), "127.0.0.1", "anything.at.all", True),
]


@pytest.mark.parametrize(("allowed", "listening", "host", "answered"), HOSTS)
def test_hosts(allowed: tuple[str, ...], listening: str, host: str, answered: bool) -> None:
    hosts = AllowedHosts.of(HttpSettings(allowed_hosts=allowed), listening)
    assert hosts.allows(host.encode()) is answered


NAME = st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"x"])


@given(st.binary(max_size=20), st.lists(st.tuples(NAME, st.binary(max_size=20)), max_size=6))
def test_a_head_is_accepted_or_refused_with_a_reason(
    target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Any head that the parser accepts."""
    hosts = AllowedHosts.of(HttpSettings(), "127.0.0.1")
    framings = [name for name, _ in headers if name in (b"content-length", b"transfer-encoding")]
    try:
        check_head("1.1", target, headers, settings=HttpSettings(), hosts=hosts)
    except ClientError as error:
        assert error.message
    else:
        assert len(framings) <= 1
        assert [name for name, _ in headers].count(b"host") == 1


# -- limits ----------------------------------------------------------------------------------------


def test_loopback_addresses_have_no_limit_unless_configured() -> None:
    watch = Watch(HttpSettings(), ANY)
    for total in range(PER_ADDRESS + 1):
        assert watch.arrived("127.0.0.1", total) is None
        assert watch.arrived("::ffff:127.0.0.1", total) is None
        error = watch.arrived("10.0.0.1", total)
    assert isinstance(error, TooManyConnections)
    watch.left("10.0.0.1")
    watch.left("10.0.0.1")
    assert watch.arrived("10.0.0.1", 1) is None


def test_connections_leave_descriptors_for_the_rest() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        assert room_for_connections(200) == 200
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200 + RESERVE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for limit, room in ((1024, 1024 - RESERVE), (400, 400 - RESERVE), (300, 100), (64, 21)):
        code = (
            f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
            "from gateway.http.server import room_for_connections as room; print(room(4096))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(done.stdout) == room


# -- one connection --------------------------------------------------------------------------------


async def test_the_app_sees_a_refused_request_as_a_client_that_left() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnect):
            await Request(scope, receive).body()
        seen.append("left")
        await PlainTextResponse("too late")(scope, receive, send)

    async with guarding(app, body_seconds=0.1) as port:
        received = await talk(port, HEAD + b"Content-Length: 9\r\n\r\n{")
    assert received.startswith(b"HTTP/1.1 408 ")
    assert received.count(b"HTTP/1.1") == 1
    assert seen == ["left"]


async def test_a_body_that_trickles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps arriving, and is far from the timeout of the whole body."""
    monkeypatch.setattr(protocol, "GRACE_SECONDS", 0.1)
    async with guarding(echo, body_seconds=1000, body_bytes_per_second=1_000_000) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        reading = asyncio.create_task(reader.read())
        async with asyncio.timeout(120):
            while not reading.done():
                writer.write(b"x")
                await asyncio.wait({reading}, timeout=0.02)
        assert b"less than 1000000 bytes per second" in await reading
        writer.close()


async def test_a_body_that_waits_for_the_app_is_not_refused() -> None:
    """The app reads late, so the client cannot go on sending."""
    read = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read.wait()
        await echo(scope, receive, send)

    sent = HEAD + b"Connection: close\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    async with guarding(app, body_seconds=1.5, header_seconds=0.9) as port:
        answer = asyncio.create_task(talk(port, sent))
        # each takes some periods of the timer
        assert (await talk(port, HEAD)).startswith(b"HTTP/1.1 408 ")
        assert (await talk(port, HEAD)).startswith(b"HTTP/1.1 408 ")
        read.set()
        assert (await answer).startswith(b"HTTP/1.1 200 ")


async def test_a_pipelined_request_is_never_served() -> None:
    paths: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await echo(scope, receive, send)

    async with guarding(app) as port:
        received = await talk(
            port, b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in b"ab")
        )
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in received
    assert paths == ["/97"]


async def test_trailers_are_not_headers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        names = [name.decode() for name, _ in scope["headers"]]
        await PlainTextResponse(" ".join(names))(scope, receive, send)

    async with guarding(app) as port:
        head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        received = await talk(port, head + b"1\r\nx\r\n0\r\nX-Secret: 1\r\n\r\n")
    assert received.endswith(b"host connection transfer-encoding")


async def test_an_early_reply_leaves_the_connection_usable() -> None:
    """The rest of the body is discarded, and the next request is found behind it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)

    async with guarding(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        await reader.readuntil(b"/1")
        writer.write(b"x" * 3_000_000 + b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(120):
            assert (await reader.read()).endswith(b"/2")
        writer.close()


async def test_a_reply_that_has_started_is_cut_off_and_not_followed_by_another() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        with pytest.raises(ClientDisconnect):
            await Request(scope, receive).body()
        await send({"type": "http.response.body", "body": b"too late"})

    refused: list[str] = []
    async with guarding(app, refused) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense")
        async with asyncio.timeout(120):
            assert await reader.read() == b""
        writer.close()
    assert refused == ["invalid_request"]


async def test_refusals_have_the_dialect_of_the_path_and_are_counted() -> None:
    refused: list[str] = []
    async with guarding(echo, refused) as port:
        received = await talk(port, b"POST /tei/rerank HTTP/1.1\r\n\r\n")
        nowhere = await talk(port, b"nonsense\r\n\r\n")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error_type"] == "Validation"
    assert json.loads(nowhere.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert refused == ["invalid_request", "invalid_request"]
