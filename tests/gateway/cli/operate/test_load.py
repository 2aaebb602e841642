"""`gateway load` and `gateway unload`: output and exit codes, and `/readyz` with idle models."""

import json
import threading
from pathlib import Path

import httpx
import pytest

from tests.gateway.cli.conftest import Serving
from tests.gateway.cli.operate.test_reload import run

CONFIG = """
port = 0
[models.lazy]
source = "fake"
engine = "fake"
load = "first-use"
[models.broken]
source = "fake?refuse=66"
engine = "fake"
load = "first-use"
[models.slow]
source = "fake?delay_ms=500"
engine = "fake"
load = "first-use"
"""


def test_models_are_loaded_and_unloaded_by_their_operator(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG)
    with Serving("--config", str(file), log=tmp_path / "log") as serving:
        url = serving.url
        cards = httpx.get(url + "/v1/models").json()["data"]
        assert [card["state"] for card in cards] == ["idle"] * 3
        assert httpx.get(url + "/readyz").json()["models"]["lazy"] == "idle"
        result = run("load", "lazy", "--json", "--url", url)
        found = json.loads(result.stdout)
        assert (result.exit_code, found["state"], found["loads"]) == (0, "ready", 1)
        result = run("load", "broken", "--url", url)
        assert (result.exit_code, "refused, as its source asks" in result.stderr) == (1, True)
        result = run("unload", "broken", "--url", url)
        assert (result.exit_code, "broken is unloaded" in result.stderr) == (0, True)
        result = run("unload", "lazy", "--no-wait", "--url", url)
        assert (result.exit_code, "lazy is being unloaded" in result.stderr) == (0, True)
        result = run("unload", "lazy", "--json", "--url", url)
        assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "idle")
        run("drain", "lazy", "--url", url)
        result = run("load", "lazy", "--url", url)
        assert (result.exit_code, "out of service" in result.stderr) == (1, True)
        result = run("load", "nope", "--url", url)
        assert (result.exit_code, "use one of: lazy, broken, slow" in result.stderr) == (1, True)


def test_requests_around_an_unloading_are_answered(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG)
    with Serving("--config", str(file), log=tmp_path / "log") as serving:
        url, codes = serving.url, []

        def ask(text: str) -> None:
            body = {"model": "slow", "query": "q", "documents": [text]}
            codes.append(httpx.post(url + "/v1/rerank", json=body, timeout=120).status_code)

        def inside() -> int:
            models = httpx.get(url + "/status").json()["models"]
            return sum(shard["queue"] for model in models for shard in model["shards"])

        assert run("load", "slow", "--url", url).exit_code == 0
        first = threading.Thread(target=ask, args=("a",))
        first.start()
        while not inside():
            pass
        run("unload", "slow", "--no-wait", "--url", url)
        ask("b")
        first.join()
        assert codes == [200, 200]


@pytest.mark.parametrize(("counts", "code"), [("true", 200), ("false", 503)])
def test_idle_models_are_ready_as_it_is_configured(tmp_path: Path, counts: str, code: int) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f"ready_when_idle = {counts}\n{CONFIG}")
    with Serving("--config", str(file), log=tmp_path / "log") as serving:
        assert httpx.get(serving.url + "/readyz").status_code == code
        assert httpx.get(serving.url + "/readyz?model=lazy").status_code == code
        assert httpx.get(serving.url + "/health").json()["status"] == "ok"
        assert run("load", "lazy", "--url", serving.url).exit_code == 0
        assert httpx.get(serving.url + "/readyz").status_code == 200
        metrics = httpx.get(serving.url + "/metrics").text
        assert 'reranker_model_loads_total{model="lazy"} 1.0' in metrics
        assert 'reranker_model_idle{model="slow"} 1.0' in metrics
        assert 'reranker_model_up{model="slow"} 1.0' in metrics
