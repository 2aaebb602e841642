"""Gateways for the clients, and the expected results.

The gateways run in the project's own environment, the tests in that of `scripts/test-clients`.
"""

import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cases import DOCUMENTS, MODEL, QUERY, Expected, Keyed

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("GATEWAY_PYTHON", str(ROOT / ".venv/bin/python"))
PATIENCE_SECONDS = 120.0
KEYS = ("COHERE_API_KEY", "JINA_API_KEY", "VOYAGE_API_KEY", "MXBAI_API_KEY", "CO_API_KEY")
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HAYSTACK_TELEMETRY_ENABLED": "False"}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}

KEYED = """
port = 0
keys_file = "keys.toml"
[models.embedded]
source = "fake"
engine = "fake"
devices = ["cpu:0"]
"""

BUSY = """
port = 0
limits.queue_tokens = 100
[models.embedded]
source = "fake?delay_ms=300"
engine = "fake"
devices = ["cpu:0"]
max_length = 8
"""
"""Two documents take 0.3 s: thousands keep the gateway busy for as long as the tests run."""

os.environ.update(OFFLINE, **dict.fromkeys(KEYS, "any"))
"""Set before any client is imported: none sends telemetry, each has the key that it requires."""

HELD = {"query": "q", "documents": [f"a b c d e f {number}" for number in range(10_000)]}


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a gateway until the block ends; yield its URL."""
    log = folder / "gateway.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [PYTHON, "-m", "gateway", "serve", *arguments],
            cwd=ROOT,
            env=CLEAN,
            stdout=stream,
            stderr=stream,
        )
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(r"ready at (http://[^\"\s]+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        process.kill()
        process.wait()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON at a URL, or the reply to a request."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "x-request-timeout-ms": "600000"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=600) as reply:
        return json.load(reply)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway with the embedded models, as `gateway serve` starts it."""
    with serving(tmp_path_factory.mktemp("gateway"), "--port", "0", "--device", "cpu:0") as found:
        yield found


@pytest.fixture(scope="session")
def expected(url: str) -> Expected:
    """The results of a plain request, which every client must return."""
    reply = ask(f"{url}/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "model": MODEL})
    return Expected(
        [result["index"] for result in reply["results"]], reply["results"][0]["relevance_score"]
    )


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway with a full queue: every request is rejected with 503."""
    folder = tmp_path_factory.mktemp("busy")
    (folder / "gateway.toml").write_text(BUSY)
    with serving(folder, "--config", str(folder / "gateway.toml")) as found:

        def hold() -> None:
            with suppress(OSError):  # the gateway is killed before it replies
                ask(f"{found}/v1/rerank", HELD)

        threading.Thread(target=hold, daemon=True).start()
        end = time.monotonic() + PATIENCE_SECONDS
        while not _outstanding(found):
            assert time.monotonic() < end, "the gateway does not get busy"
            time.sleep(0.05)
        yield found


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A gateway that requires a key."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "gateway.toml").write_text(KEYED)
    command = ["key", "new", "tests", "--keys-file", str(folder / "keys.toml")]
    made = subprocess.run(
        [PYTHON, "-m", "gateway", *command], cwd=ROOT, env=CLEAN, capture_output=True, check=True
    )
    with serving(folder, "--config", str(folder / "gateway.toml")) as found:
        yield Keyed(found, made.stdout.decode().strip())


def _outstanding(url: str) -> int:
    status = ask(f"{url}/status")
    shards = (shard for model in status["models"] for shard in model["shards"])
    return sum(shard["outstanding_tokens"] for shard in shards)
