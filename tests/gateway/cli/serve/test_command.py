"""`gateway serve` as a process: its log, its errors, its end."""

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.cli.conftest import Serving, gateway

FAKE = ("--port", "0", "--engine", "fake", "--device", "cpu:0")


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as reply:
        return json.load(reply)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_stops_it(tmp_path: Path, number: signal.Signals) -> None:
    with Serving(*FAKE, "--model", "demo=fake", log=tmp_path / "log") as serving:
        status = fetch(f"{serving.url}/status")
        assert [model["name"] for model in status["models"]] == ["demo"]
        assert serving.stop(number) == 0
        assert serving.lines()[-1]["event"] == "stopped"
        assert serving.process.stdout is not None
        assert serving.process.stdout.read() == b""


def test_the_log_names_the_models_and_the_url(tmp_path: Path) -> None:
    with Serving("--port", "0", "--engine", "fake", log=tmp_path / "log") as serving:
        url = serving.url
        events = [str(line["event"]) for line in serving.lines()]
    assert "starting" in events[0]
    (about,) = [event for event in events if "small models" in event]
    assert "gateway serve --model Qwen/Qwen3-Reranker-0.6B" in about
    assert events.index(about) < events.index(f"listening on {url}, models are loading")
    assert events[-1] == f"ready at {url}"
    assert events.count("model ready") == 2


def test_a_model_that_cannot_be_served_does_not_stop_the_others(tmp_path: Path) -> None:
    models = ("--model", "good=fake", "--model", "broken=fake?refuse=66")
    with Serving(*FAKE, *models, log=tmp_path / "log") as serving:
        states = {
            model["name"]: model["state"] for model in fetch(f"{serving.url}/status")["models"]
        }
        assert states == {"good": "ready", "broken": "failed"}
        broken = [line for line in serving.lines() if line["event"] == "model does not start"]
        assert [line["model"] for line in broken] == ["broken"]
        assert broken[0]["error"]


def test_a_gateway_that_cannot_score_logs_it(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "broken=fake?refuse=66", log=tmp_path / "log") as serving:
        serving.wait_for("no model can score")


def test_a_port_in_use_is_refused_and_the_owner_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gateway("serve", "--port", str(port), "--model", "demo=fake", "--engine", "fake")
    assert done.returncode == 69
    assert f"port {port} is in use by process" in done.stderr
    assert "--port" in done.stderr


def test_an_address_of_another_machine_is_refused() -> None:
    done = gateway("serve", "--host", "192.0.2.1", "--port", "0", GATEWAY_ALLOW_UNAUTHENTICATED="1")
    assert done.returncode == 69
    assert "192.0.2.1 is no address of this machine" in done.stderr


def test_a_bad_configuration_shows_every_error(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('prot = 1\n[models.a]\nsource = "x/y"\n')
    done = gateway("serve", "--config", str(file), "--host", "0.0.0.0", GATEWAY_DRAIN_SECONDS="x")
    assert done.returncode == 78
    for word in ("prot", "host", "GATEWAY_DRAIN_SECONDS", "--host", str(file)):
        assert word in done.stderr


def test_model_options_without_a_model_do_not_touch_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[models.a]\nsource = "x/y"\n')
    done = gateway("serve", "--config", str(file), "--dtype", "fp32")
    assert done.returncode == 2
    assert "set them there" in done.stderr


def test_every_model_option_reaches_the_model(tmp_path: Path) -> None:
    options = ("--canary", "numeric", "--threads", "1", "--replicas", "1", "--dtype", "fp32")
    with Serving(*FAKE, *options, "--model", "m=fake", log=tmp_path / "log") as serving:
        (model,) = fetch(f"{serving.url}/status")["models"]
    (shard,) = model["shards"]
    assert (model["engine"], shard["device"], shard["dtype"]) == ("fake", "cpu", "fp32")
    assert shard["notes"] == []


def test_options_and_file_are_served_together(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[models.first]\nsource = "fake"\nengine = "fake"\naliases = ["old"]\n')
    arguments = ("--config", str(file), "--model", "second=fake", "--default-model", "second")
    with Serving(*FAKE, *arguments, log=tmp_path / "log") as serving:
        models = fetch(f"{serving.url}/status")["models"]
    assert [(model["name"], model["default"]) for model in models] == [
        ("first", False),
        ("second", True),
    ]
    assert models[0]["aliases"] == ["old"]


def test_an_unknown_variable_is_reported(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "demo=fake", log=tmp_path / "log", GATEWAY_PROT="9") as serving:
        serving.wait_for(r"GATEWAY_PROT is not a setting.*Did you mean port\?")


def test_early_clients_wait_instead_of_being_refused(tmp_path: Path) -> None:
    with Serving(*FAKE, "--model", "demo=fake?load_ms=500", log=tmp_path / "log") as serving:
        url = serving.wait_for(r"listening on (http://[^,]+),")[1]
        body = json.dumps({"query": "a", "documents": ["b"]}).encode()
        request = urllib.request.Request(
            f"{url}/v1/rerank", body, {"content-type": "application/json"}
        )
        assert len(fetch_request(request)["results"]) == 1


def fetch_request(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_a_gateway_whose_only_model_is_not_there_does_not_start() -> None:
    done = gateway("serve", "--port", "0", "--model", "x=/nowhere/at/all")
    assert done.returncode == 66
    assert "there is no folder /nowhere/at/all" in done.stderr
