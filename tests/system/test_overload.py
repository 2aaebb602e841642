"""A full gateway refuses a request before it has read the body."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.system.raw import connect, port_of, post, read_reply
from tests.system.running import Gateway, running

_MODEL = """
[models.{name}]
source = "fake?delay_ms={delay_ms}"
engine = "fake"
replicas = 1
max_length = 512
token_budget = 512
"""
_CONFIG = "[limits]\nqueue_tokens = 100\n"


@asynccontextmanager
async def _full(folder: Path, *others: str) -> AsyncIterator[Gateway]:
    """Run a gateway whose first model is busy and full while the block runs."""
    models = [_MODEL.format(name=name, delay_ms=0) for name in others]
    config = _CONFIG + _MODEL.format(name="busy", delay_ms=500) + "".join(models)
    async with running(config, folder) as gateway:
        await gateway.until_ready()
        large = asyncio.create_task(gateway.rerank([f"{n} " + "word " * 600 for n in range(100)]))
        await gateway.until(lambda shards: shards["busy/cpu:0"]["queue"] > 0)
        yield gateway
        large.cancel()


def _announce(gateway: Gateway, length: int) -> socket.socket:
    """Send the head of a request, and nothing of its body."""
    connection = connect(port_of(gateway))
    connection.sendall(post(b"Content-Length: %d" % length))
    return connection


async def test_a_full_model_refuses_before_the_body_is_there(tmp_path: Path) -> None:
    async with _full(tmp_path) as gateway:
        with _announce(gateway, 1_000_000) as connection:
            status, headers, body = await asyncio.to_thread(read_reply, connection)
        assert status == 503
        assert b'"overloaded"' in body
        assert int(headers["retry-after"]) >= 1
        assert (await gateway.get("/livez"))[0] == 200


async def test_a_client_that_sends_the_body_nevertheless_can_go_on(tmp_path: Path) -> None:
    async with _full(tmp_path) as gateway:
        with _announce(gateway, 200_000) as connection:
            assert (await asyncio.to_thread(read_reply, connection))[0] == 503
            connection.sendall(b"x" * 200_000 + post(b"Content-Length: 1", body=b"x"))
            assert (await asyncio.to_thread(read_reply, connection))[0] == 503


async def test_a_full_model_does_not_delay_another(tmp_path: Path) -> None:
    """The model is named in the body, so the body is read."""
    async with _full(tmp_path, "free") as gateway:
        assert (await gateway.rerank(["a"], model="free"))[0] == 200
        assert (await gateway.rerank(["a"], model="busy"))[0] == 503
        status, body, _ = await gateway.rerank([], model="free")
        assert (status, body["error"]["code"]) == (400, "invalid_request")


async def test_startup_objects_are_frozen_for_the_garbage_collector(tmp_path: Path) -> None:
    """Otherwise each full collection delays all answers by 30 ms and more."""
    code = (
        "from gateway.cli.serve.run import freeze_startup_objects as freeze; import gc; "
        "freeze(); print(gc.get_freeze_count())"
    )
    frozen = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", code])
    assert int(frozen) > 10_000
