"""The HTTP client of the JDK, which offers HTTP/2 without TLS (`Upgrade: h2c`) unless forbidden."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shards.engines.fake import margin
from tests.system.running import running

CLIENT = Path(__file__).parent / "java_client" / "Client.java"
PATIENCE_SECONDS = 120
CONFIG = """
[models.demo]
source = "fake"
engine = "fake"
"""


def replies(url: str) -> tuple[list[tuple[str, str, int, Any]], str]:
    """Return the replies to the client by name, HTTP version and status, and its log."""
    command = ["java", "-Djdk.httpclient.HttpClient.log=headers", str(CLIENT), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    found = [(name, version, int(code), json.loads(body)) for name, version, code, body in lines]
    return found, done.stderr


def best_of(reply: Mapping[str, Any]) -> list[int]:
    return [result["index"] for result in reply["results"]]


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK: openjdk-17-jdk-headless")
async def test_a_java_client_that_offers_http_2_is_served_in_http_1(tmp_path: Path) -> None:
    async with running(CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        found, log = await asyncio.to_thread(replies, gateway.url)
    assert log.count("Upgrade: h2c") >= 5, "the client no longer makes the offer"
    assert {version for _, version, _, _ in found} == {"HTTP_1_1"}
    assert {name: status for name, _, status, _ in found if status != 200} == {
        "unknown": 404,
        "empty": 400,
    }
    for name, _, status, reply in found:
        if status == 200 and name != "models":
            count = 5000 if name == "large" else 3
            margins = [margin("which?", f"document {number}") for number in range(count)]
            assert best_of(reply) == [margins.index(max(margins))], name
    assert [name for name, *_ in found].count("at once") == 20
