"""`gateway cache scores`: its table, its JSON, and clearing by model and as a whole."""

import json
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from gateway.cli import cli
from tests.gateway.cli.conftest import Serving

FAKE = ("--port", "0", "--engine", "fake", "--device", "cpu:0")
BODY: dict[str, Any] = {"query": "q", "documents": ["a", "b", "a"]}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["cache", "scores", *arguments])


def test_the_cache_is_shown_and_cleared(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        "port = 0\nscore_cache_mb = 1\nscore_cache_path = 'scores.db'\n"
        "[models.m]\nsource = 'fake?files=1'\nengine = 'fake'"
    )
    with Serving("--config", str(config), log=tmp_path / "log") as serving:
        url = ("--url", serving.url)
        for _ in range(2):
            assert httpx.post(f"{serving.url}/v1/rerank", json=BODY).status_code == 200
        shown = run(*url)
        assert shown.exit_code == 0, shown.output
        assert "2 scores, 0.0 of 1 MiB, kept 3600 s" in shown.stdout
        assert "66.7%" in shown.stdout
        assert f"disk: {tmp_path / 'scores.db'}, " in shown.stdout
        assert " of 256 MiB, " in shown.stdout
        header = next(line for line in shown.stdout.splitlines() if "hit rate" in line)
        assert ("disk" in header, "shared" in header) == (True, False)
        found = json.loads(run("m", "--json", *url).stdout)
        (model,) = found["models"]
        assert (model["computed"], model["duplicate"], model["memory"]) == (2, 1, 3)
        assert json.loads(run("n", "--json", *url).stdout)["models"] == []

        cleared = run("m", "--clear", *url)
        assert cleared.exit_code == 0, cleared.output
        again = httpx.post(f"{serving.url}/v1/rerank", json=BODY)
        assert again.headers["x-gateway-cache"].startswith("hits=1, misses=2")
        assert "0 scores" in run("--clear", *url).stdout
        refused = run("nope", "--clear", *url)
        assert (refused.exit_code, "nope" in refused.stderr) == (1, True)


def test_a_gateway_without_it_says_so(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("port = 0\nscore_cache_mb = 0\n[models.m]\nsource = 'fake'\nengine = 'fake'")
    with Serving("--config", str(config), log=tmp_path / "log") as serving:
        assert "is off" in run("--url", serving.url).stdout
