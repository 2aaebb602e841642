"""Ten thousand connections that are idle: they cost little, and others are served."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.operator import model
from tests.system.raw import connect, get, port_of, post, read_reply
from tests.system.running import running

_CONNECTIONS = 10_000
_SPARE = 1_000  # open files of this process and of the gateway, beside these connections
_MOST_KIBIBYTES = 32  # measured: 10 of one that rests, 6 of one that has sent half a head
_HALF_HEAD = post(b"Content-Length: 10")[:-2]
_CONFIG = f"""
[http]
connections = {_CONNECTIONS + _SPARE}
header_seconds = 600
keep_alive_seconds = 600
"""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Raise the limit of open files for this process and for the gateway that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _CONNECTIONS + _SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"the hard limit of open files is {hard}; this test needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open(port: int, stack: contextlib.ExitStack, number: int) -> socket.socket:
    """Open a connection that rests after a request, or, every second one, has half a head."""
    connection = stack.enter_context(connect(port))
    if number % 2:
        connection.sendall(_HALF_HEAD)
    else:
        connection.sendall(get())
        assert read_reply(connection)[0] == 200
    return connection


def _open_connections(process: psutil.Process) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for connection in process.net_connections(kind="tcp")
    )


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("many_files")
async def test_ten_thousand_idle_connections_cost_little(tmp_path: Path) -> None:
    async with running(_CONFIG + model("m"), tmp_path) as gateway:
        await gateway.until_ready()
        assert (await gateway.rerank(["a"]))[0] == 200
        process = psutil.Process(gateway.process.pid)
        before, files = process.memory_info().rss, process.num_fds()
        with contextlib.ExitStack() as stack:
            for number in range(_CONNECTIONS):
                await asyncio.to_thread(_open, port_of(gateway), stack, number)
            assert _open_connections(process) >= _CONNECTIONS
            taken = (process.memory_info().rss - before) / 1024 / _CONNECTIONS
            assert taken < _MOST_KIBIBYTES
            assert {(await gateway.rerank(["a"]))[0] for _ in range(50)} == {200}
        async with asyncio.timeout(120):
            while process.num_fds() > files:
                await asyncio.sleep(0.1)
