"""`gateway status`: table, JSON and exit codes."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.operate.status import exit_code
from gateway.cli.operate.status_table import fitted
from tests.gateway.cli.conftest import Serving

SHARD = {
    "name": "bert/cpu:0",
    "pid": 4711,
    "state": "ready",
    "stage": "",
    "generation": 3,
    "restarts": 2,
    "device": "cpu",
    "dtype": "bf16",
    "queue": 5,
    "outstanding_tokens": 17,
    "documents": 100,
    "tokens": 1000,
    "documents_per_second": 12.5,
    "p50_ms": 1.25,
    "p95_ms": 9.75,
    "memory_bytes": 3 * 2**30,
    "last_error": "",
    "warnings": [],
}


def model(state: str, **shard: Any) -> dict[str, Any]:
    return {
        "name": "bert",
        "state": state,
        "default": True,
        "aliases": ["rerank-v3.5"],
        "engine": "classifier",
        "shards": [{**SHARD, **shard}],
    }


def status_of(*states: str) -> dict[str, Any]:
    models = [model(state) for state in states]
    return {"version": "0.1.0", "uptime_seconds": 90061.0, "models": models}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["status", *arguments])


def text_of(found: dict[str, Any]) -> str:
    return "\n".join(line.plain for line in fitted(found, 200))


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["ready"], 0),
        (["ready", "ready"], 0),
        (["ready", "failed"], 1),
        (["ready", "loading"], 1),
        (["degraded"], 1),
        (["loading"], 2),
        (["failed", "failed"], 2),
        ([], 2),
    ],
)
def test_each_state_has_its_exit_code(states: list[str], code: int) -> None:
    assert exit_code(status_of(*states)) == code


def test_the_table_shows_every_figure() -> None:
    text = text_of(status_of("ready"))
    for word in ("0.1.0", "up 1 d 1 h", "bert (default, classifier, also rerank-v3.5)"):
        assert word in text
    row = next(line for line in text.splitlines() if "bert/cpu:0" in line).split()
    assert row == [
        *("bert/cpu:0", "ready", "4711", "cpu", "any", "bf16", "3", "2", "5"),
        *("12.5", "1.2", "9.8", "3.0", "GiB"),
    ]


def test_the_queue_of_the_gateway_is_in_the_line_of_its_model() -> None:
    found = status_of("ready")
    found["models"][0].update(queue=42, name="bert-with-a-queue")
    row = next(line for line in text_of(found).splitlines() if "bert-with-a-queue" in line)
    assert row.endswith("  ready  queue 42")


def test_problems_are_printed_in_full_below_the_table() -> None:
    found = status_of("failed")
    shard = found["models"][0]["shards"][0]
    shard.update(state="failed", pid=None, last_error="no config.json", warnings=["no GPU [red]"])
    text = text_of(found)
    assert "bert/cpu:0: no config.json" in text
    assert "bert/cpu:0: no GPU [red]" in text


def test_settings_without_effect_are_below_the_table() -> None:
    found = {**status_of("ready"), "warnings": ["port = 9: without effect"]}
    assert text_of(found).endswith("port = 9: without effect")


def test_a_loading_shard_shows_its_stage() -> None:
    found = status_of("loading")
    found["models"][0]["shards"][0].update(state="loading", stage="weights, 3 of 9")
    assert "loading (weights, 3 of 9)" in text_of(found)


def test_a_running_gateway_is_shown(served: str) -> None:
    result = run("--url", served)
    assert result.exit_code == 0
    assert "demo/cpu:0" in result.stdout


def test_json_is_the_reply_of_the_gateway(served: str) -> None:
    result = run("--url", served + "/", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [shard["name"] for shard in found["models"][0]["shards"]] == ["demo/cpu:0"]


def test_the_url_may_come_from_the_environment(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_URL", served)
    assert run().exit_code == 0


def test_a_gateway_with_a_broken_model_is_degraded(tmp_path: Path) -> None:
    models = ("--model", "good=fake", "--model", "broken=fake?refuse=66", "--engine", "fake")
    with Serving("--port", "0", "--device", "cpu:0", *models, log=tmp_path / "log") as serving:
        result = run("--url", serving.url)
    assert result.exit_code == 1
    assert "broken/cpu:0: " in result.stdout


def test_splits_and_shadows_have_tables_of_their_own(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        'default_model = "search"\n'
        '[models.old]\nsource = "fake"\nengine = "fake"\n'
        'shadow = { model = "new", percent = 5 }\n'
        '[models.new]\nsource = "fake"\nengine = "fake"\n'
        "[splits.search]\nmodels = { old = 75, new = 25 }\n"
    )
    with Serving("--port", "0", "--config", str(config), log=tmp_path / "log") as serving:
        result = run("--url", serving.url)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "search (default) old 75% 0" in lines
    assert "search (default) new 25% 0" in lines
    assert "old new 5 % 0 0 0 0 - - - -" in lines


def test_nothing_there_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("--url", f"http://127.0.0.1:{port}", "--json")
    assert result.exit_code == 2
    assert "nothing answers" in result.stderr
    assert "nothing answers" in json.loads(result.stdout)["error"]


def test_a_gateway_that_hangs_is_down_within_seconds() -> None:
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run("--url", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert result.exit_code == 2
    assert "may hang" in result.stderr
    assert time.monotonic() - start < 60  # 2 s on an idle machine


class Other(BaseHTTPRequestHandler):
    """A server that is no gateway."""

    def do_GET(self) -> None:
        body = b"{}" if self.path == "/json/status" else b"<html>"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def other() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["", "/json"])
def test_something_else_is_no_gateway(other: str, path: str) -> None:
    result = run("--url", other + path)
    assert result.exit_code == 2
    assert "no rerank gateway" in result.stderr


def test_no_url_at_all() -> None:
    result = run("--url", "nonsense")
    assert result.exit_code == 2
    assert "nonsense" in result.stderr
