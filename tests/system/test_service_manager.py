"""Notifications to a service manager, and its sockets: a real gateway and real Unix sockets."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.cli.conftest import CLEAN, gateway
from tests.system.running import running

_FAKE = '[models.fake]\nsource = "fake"\nengine = "fake"\n'
_SLOW = '[models.fake]\nsource = "fake?load_ms=1500"\nengine = "fake"\n'
_BROKEN = '[models.fake]\nsource = "fake?refuse=66"\nengine = "fake"\n'
_PATIENCE_SECONDS = 120.0
_QUIET_SECONDS = 2.0


class Manager:
    """The notification socket of a service manager, and the messages that it has received."""

    def __init__(self, path: Path) -> None:
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    async def receive(self) -> str:
        message = (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()
        self.received.append(message)
        return message

    async def until(self, start: str) -> str:
        """Wait for a message with this start."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (message := await self.receive()).startswith(start):
                pass
        return message

    async def received_in(self, seconds: float) -> list[str]:
        """Wait for some time, and return the messages."""
        before = len(self.received)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self.receive()
        return self.received[before:]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Manager]:
    """A service manager that every gateway of this test notifies."""
    path = tmp_path / "notify"
    found = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    yield found
    found.close()


async def test_ready_is_sent_when_it_answers_and_status_lines_before(
    tmp_path: Path, manager: Manager
) -> None:
    async with running(_SLOW, tmp_path) as gateway:
        await manager.until("READY=1")
        assert manager.received[0] == "STATUS=0/1 models ready, 0/1 shards"
        assert "STATUS=1/1 models ready, 1/1 shards" in manager.received
        assert any(message.startswith("EXTEND_TIMEOUT_USEC=") for message in manager.received)
        status, _, _ = await gateway.rerank(["a"])
        assert status == 200
        for process in gateway.shard_processes:
            assert "NOTIFY_SOCKET" not in process.environ()
        gateway.signal(signal.SIGTERM)
        await manager.until("STOPPING=1")
        assert await gateway.wait() == 0
    assert manager.received.count("READY=1") == 1
    assert "STATUS=stopping, 1/1 models ready, 1/1 shards" in manager.received


async def test_a_lost_shard_shows_in_the_status_line(tmp_path: Path, manager: Manager) -> None:
    slow = _SLOW.replace("1500", "4000")  # so that the line is written before it is back
    async with running(slow + "replicas = 2\n", tmp_path) as gateway:
        await manager.until("READY=1")
        shards = await gateway.shards()
        os.kill(next(iter(shards.values()))["pid"], signal.SIGSTOP)
        os.kill(next(iter(shards.values()))["pid"], signal.SIGKILL)
        await manager.until("STATUS=1/1 models ready, 1/2 shards")


async def test_a_gateway_that_cannot_score_is_never_ready(tmp_path: Path, manager: Manager) -> None:
    async with running(_BROKEN, tmp_path) as gateway:
        await gateway.until(lambda shards: all(s["state"] == "failed" for s in shards.values()))
        await manager.received_in(_QUIET_SECONDS)
        assert "READY=1" not in manager.received
        # No model will become ready: the start may time out.
        later = await manager.received_in(_QUIET_SECONDS)
        assert not [message for message in later if message.startswith("EXTEND")]


async def test_the_beginning_and_the_end_of_a_reload_are_sent(
    tmp_path: Path, manager: Manager
) -> None:
    async with running(_FAKE, tmp_path) as gateway:
        await manager.until("READY=1")
        (tmp_path / "gateway.toml").write_text("port = 0\n" + _SLOW)
        gateway.signal(signal.SIGHUP)
        begins = await manager.until("RELOADING=1")
        assert int(begins.partition("\nMONOTONIC_USEC=")[2]) > 0
        await manager.until("READY=1")


async def test_the_watchdog_is_fed(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    async with running(_FAKE, tmp_path):
        await manager.until("READY=1")
        for _ in range(3):
            await manager.until("WATCHDOG=1")


async def test_the_watchdog_is_not_fed_without_supervision(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    async with running(_FAKE, tmp_path, site="unwatched_shards") as gateway:
        await manager.until("READY=1")
        status, _, _ = await gateway.rerank(["a"])
        assert status == 200  # it answers, but must be restarted
        later = await manager.received_in(_QUIET_SECONDS)
        assert "WATCHDOG=1" not in [*later, *manager.received]


async def test_a_blocked_event_loop_stops_the_watchdog_and_its_stacks_are_written(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")  # as the unit sets it
    async with running(_FAKE, tmp_path, site="blocked_loop") as gateway:
        await manager.until("WATCHDOG=1")
        asking = asyncio.create_task(gateway.rerank(["a"]))
        for _ in range(20):  # the request may take its time to arrive
            if "WATCHDOG=1" not in await manager.received_in(_QUIET_SECONDS):
                break
        else:
            raise AssertionError("the watchdog is fed although the event loop is blocked")
        gateway.signal(signal.SIGABRT)  # as systemd does
        assert await gateway.wait() == -signal.SIGABRT
        asking.cancel()
        assert "_block" in gateway.log.read_text()


class _Activated:
    """A gateway that inherits its listening socket, as from systemd."""

    def __init__(self, listener: socket.socket, folder: Path, *flags: str) -> None:
        config = folder / "gateway.toml"
        config.write_text("port = 1\n" + _FAKE)  # the socket's address counts, not this one
        serve = f"{sys.executable} -m gateway serve --config {config} {' '.join(flags)}"
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["bash", "-c", f"LISTEN_FDS=1 LISTEN_PID=$$ exec {serve} 3<&{listener.fileno()}"],
            pass_fds=[listener.fileno()],
            stdout=self._log,
            stderr=self._log,
            env=CLEAN,
        )

    def __enter__(self) -> "_Activated":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


async def _answer(session: aiohttp.ClientSession, url: str) -> int:
    body = {"query": "q", "documents": ["a"]}
    async with session.post(f"{url}/v1/rerank", json=body) as reply:
        return reply.status


async def test_a_restart_behind_a_socket_unit_refuses_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True)
        ) as asking:
            with _Activated(listener, tmp_path) as first:
                assert await _answer(asking, url) == 200
                first.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.process.wait, _PATIENCE_SECONDS) == 0
            waiting = asyncio.create_task(_answer(asking, url))  # no process accepts it
            with _Activated(listener, tmp_path):
                assert await waiting == 200


async def test_another_port_than_that_of_the_socket_unit_is_reported(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _Activated(listener, tmp_path, "--port", "9"),
    ):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with aiohttp.ClientSession() as asking, asking.get(f"{url}/status") as reply:
            (warning,) = (await reply.json())["warnings"]
    assert warning.startswith("port = 9: without effect, because the socket unit has opened")
    assert "ListenStream=" in warning
    assert warning in (tmp_path / "log").read_text()


def test_a_socket_unit_cannot_open_the_port_to_others_without_keys(tmp_path: Path) -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as listener,
        _Activated(listener, tmp_path) as activated,
    ):
        assert activated.process.wait(_PATIENCE_SECONDS) == 78
    assert "can be reached from other machines" in (tmp_path / "log").read_text()


def test_a_socket_of_another_kind_is_refused(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        _Activated(datagrams, tmp_path) as activated,
    ):
        assert activated.process.wait(_PATIENCE_SECONDS) == 78
    assert "is not a TCP socket that listens" in (tmp_path / "log").read_text()


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    done = gateway(
        "serve", "--host", "192.0.2.1", "--port", "0",
        LISTEN_FDS="1", LISTEN_PID="1", GATEWAY_ALLOW_UNAUTHENTICATED="1",
    )  # fmt: skip
    assert done.returncode == 69  # it tried to open its own
