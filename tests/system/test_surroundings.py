"""Surroundings that are not as usual: closed streams, a deleted folder, few descriptors."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests import checkpoints
from tests.system.operator import model, write
from tests.system.running import running

PATIENCE_SECONDS = 120.0
_CONFIG = 'admin_socket = "admin.sock"\n'


class Operator:
    """A gateway whose log is not to be seen, over its admin socket."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._socket = str(folder / "admin.sock")

    async def ask(self, path: str, **body: object) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(self._socket)
        async with aiohttp.ClientSession(connector=connector) as session:
            method = "POST" if body or path.startswith("/admin") else "GET"
            url = f"http://localhost{path}"
            async with session.request(method, url, json=body or None) as reply:
                return reply.status, await reply.text()

    async def until(self, path: str, words: str) -> None:
        """Wait until a reply has these words."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                _, text = await self.ask(path)
            except (OSError, aiohttp.ClientError) as error:
                text = str(error)
            if words in text:
                return
            assert self.process.poll() is None
            assert time.monotonic() < end, text
            await asyncio.sleep(0.05)


@asynccontextmanager
async def started(
    folder: Path, config: str, shell: str = "exec", cwd: Path | None = None
) -> AsyncIterator[Operator]:
    """Start a gateway by a line of the shell; the configuration stands in a folder."""
    write(folder, _CONFIG + config)
    line = f"{shell} {sys.executable} -m gateway serve --config {folder / 'gateway.toml'}"
    process = subprocess.Popen(["sh", "-c", line], cwd=cwd)
    try:
        operator = Operator(process, folder)
        await operator.until("/readyz", '"ready":true')
        yield operator
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-"])
async def test_closed_streams_are_no_sockets(tmp_path: Path, closed: str) -> None:
    """The log must not be written into the socket that got the number of a closed stream."""
    async with started(tmp_path, model("m"), f"exec {closed} env") as gateway:
        for number in (("0", "<&-"), ("1", ">&- 2"), ("2", "2>&-")):
            if number[1] in closed:
                link = Path(f"/proc/{gateway.process.pid}/fd/{number[0]}").readlink()
                assert str(link) == "/dev/null"
        assert (await gateway.ask("/v1/rerank", query="q", documents=["a"]))[0] == 200
        assert (await gateway.ask("/v1/rerank", query="q"))[0] == 400


async def test_a_log_whose_reader_has_gone_disturbs_nothing(tmp_path: Path) -> None:
    async with started(tmp_path, model("m"), "exec 2>&1; exec") as gateway:
        assert (await gateway.ask("/v1/rerank", query="q", documents=["a"]))[0] == 200
    read, write_end = os.pipe()
    os.close(read)
    write(tmp_path, _CONFIG + model("m"))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")]
    process = subprocess.Popen(command, stderr=write_end, stdout=write_end)
    os.close(write_end)
    operator = Operator(process, tmp_path)
    await operator.until("/readyz", '"ready":true')
    assert (await operator.ask("/v1/rerank", query="q", documents=["a"]))[0] == 200
    process.terminate()
    assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0


async def test_a_working_directory_that_is_deleted(tmp_path: Path) -> None:
    """It is gone at the start, or later: reloads read the file, and shards are started anew."""
    gone = tmp_path / "gone"
    for is_gone_at_start in (True, False):
        gone.mkdir()
        shell = f"rmdir {gone}; exec" if is_gone_at_start else "exec"
        async with started(tmp_path, model("m"), shell, cwd=gone) as gateway:
            if not is_gone_at_start:
                gone.rmdir()
            write(tmp_path, _CONFIG + model("m") + model("n"))
            await gateway.ask("/admin/reload")
            await gateway.until("/readyz", '"n":"ready"')
            for child in psutil.Process(gateway.process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
            await gateway.until("/status", '"restarts":1')
            await gateway.until("/readyz", '"ready":true')
            assert (await gateway.ask("/v1/rerank", query="q", documents=["a"]))[0] == 200


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


async def test_few_descriptors_serve_several_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **more: real(*args, **more, preexec_fn=few_descriptors)
    )
    async with running(model("m"), tmp_path) as gateway:
        monkeypatch.undo()
        shards = await gateway.until_ready()
        log = gateway.log.read_text()
        assert "http.connections is lowered: the limit of open files" in log
        assert '"used":21,"limit":64' in log
        port = int(gateway.url.rpartition(":")[2])
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(15)]
        assert {(await gateway.rerank(["a"]))[0] for _ in range(5)} == {200}
        beyond = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        assert (await gateway.rerank(["a"]))[0] == 200  # over the connection that it has
        os.kill(shards["m/cpu:0"]["pid"], signal.SIGKILL)
        shards = await gateway.until(lambda found: found["m/cpu:0"]["generation"] > 1)
        await gateway.until_ready()
        assert (await gateway.rerank(["a"]))[0] == 200
        assert "Too many open files" not in gateway.log.read_text()
        for connection in (*idle, *beyond):
            connection.close()


OK = b'{"query": "q", "documents": ["a", "b"]}'
SLOW = '[models.m]\nsource = "fake?delay_ms=700"\nengine = "fake"\ntoken_budget = 1\n'


def half_closed(port: int, request: bytes) -> bytes:
    """Send a request, close this side, and return all that comes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def request(*, version: bytes = b"1.1", body: bytes = OK) -> bytes:
    return (
        b"POST /v1/rerank HTTP/%b\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (version, len(body), body)
    )


async def test_a_client_that_closes_its_side_gets_its_reply(tmp_path: Path) -> None:
    async with running(SLOW + model("quick"), tmp_path) as gateway:
        await gateway.until_ready()
        port = int(gateway.url.rpartition(":")[2])
        for version in (b"1.1", b"1.0"):
            received = await asyncio.to_thread(half_closed, port, request(version=version))
            head, _, body = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n"), received
            assert len(json.loads(body)["results"]) == 2
        quick = OK.replace(b"{", b'{"model": "quick", ', 1)
        received = await asyncio.to_thread(half_closed, port, request(body=quick))
        assert received.startswith(b"HTTP/1.1 200 OK\r\n"), received
        received = await asyncio.to_thread(half_closed, port, request(body=b"{"))
        assert received.startswith(b"HTTP/1.1 400 "), received
        header = b"\r\nX-Request-Timeout-Ms: 300\r\nCache-Control: no-store\r\n\r\n"
        late = request().replace(b"\r\n\r\n", header, 1)
        received = await asyncio.to_thread(half_closed, port, late)
        assert received.startswith(b"HTTP/1.1 504 "), received
        received = await asyncio.to_thread(half_closed, port, request()[:-3])
        assert received == b""  # the request is not complete
        received = await asyncio.to_thread(half_closed, port, 2 * request())
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 1


async def test_the_work_for_a_client_that_has_gone_is_cancelled(tmp_path: Path) -> None:
    """Its end looks like that of one that closes its side only."""
    async with running(SLOW, tmp_path) as gateway:
        await gateway.until_ready()
        port = int(gateway.url.rpartition(":")[2])
        body = json.dumps({"query": "q", "documents": [f"{n}" for n in range(100)]}).encode()
        for version in (b"1.1", b"1.0"):
            with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
                connection.sendall(request(version=version, body=body))
                await gateway.until(lambda shards: shards["m/cpu:0"]["queue"] > 0)
            async with asyncio.timeout(45):  # all would take 70 s
                await gateway.until(lambda shards: shards["m/cpu:0"]["queue"] == 0)
        assert gateway.log.read_text().count('"code":499') == 2


async def test_a_half_closed_request_is_refused_at_the_end(tmp_path: Path) -> None:
    async with running("drain_seconds = 0.5\n" + SLOW, tmp_path) as gateway:
        await gateway.until_ready()
        port = int(gateway.url.rpartition(":")[2])
        body = json.dumps({"query": "q", "documents": [f"{n}" for n in range(100)]}).encode()
        reply = asyncio.create_task(asyncio.to_thread(half_closed, port, request(body=body)))
        await gateway.until(lambda shards: shards["m/cpu:0"]["queue"] > 0)
        gateway.signal(signal.SIGTERM)
        assert (await reply).startswith(b"HTTP/1.1 503 ")
        assert await gateway.wait() == 0


_WITHOUT_SYS = "exec unshare --mount sh -c 'mount -t tmpfs none /sys && exec \"$@\"' -"


async def test_a_machine_that_describes_nothing_in_sys(tmp_path: Path) -> None:
    """There are no memory nodes, sockets, caches or control groups to be read."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/sys"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here: it takes root")
    folder = checkpoints.bert(tmp_path / "model")
    config = f'[models.m]\nsource = "{folder}"\nengine = "classifier"\ncanary = "numeric"\n'
    async with started(tmp_path, config, _WITHOUT_SYS) as gateway:
        code, text = await gateway.ask("/v1/rerank", query="q", documents=["a", "b"])
        assert (code, len(json.loads(text)["results"])) == (200, 2)
        _, status = await gateway.ask("/status")
        (shard,) = json.loads(status)["models"][0]["shards"]
        assert shard["memory_nodes"] == []
        assert not shard["restarts"]
