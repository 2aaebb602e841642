"""`gateway doctor` on this machine, and on configurations that cannot be served."""

import json
import socket
from pathlib import Path
from typing import Any

from tests.gateway.cli.conftest import gateway


def examined(*flags: str, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    done = gateway("doctor", "--json", *flags, **environ)
    assert done.returncode == code, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["ok"] is (code == 0)
    return {one["name"]: one for one in found["findings"]}


def test_this_machine_can_serve(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 0\n")
    found = examined("--config", str(file), code=0)
    assert found["model embedded-bert"]["state"] == "good"
    assert "`auto` chooses cpu" in found["auto"]["found"]
    assert {"python", "processor", "cores", "memory", "limits", "torch", "port"} <= set(found)


def test_what_stands_against_serving_has_a_remedy(tmp_path: Path) -> None:
    file, empty = tmp_path / "gateway.toml", tmp_path / "empty"
    empty.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(
            f'port = {port}\noffline = true\n[models.gone]\nsource = "{tmp_path}/gone"\n'
            f'[models.empty]\nsource = "{empty}"\n[models.hub]\nsource = "nobody/nothing"\n'
        )
        found = examined("--config", str(file), code=1)
    assert f"port {port} is in use" in found["port"]["found"]
    for model in ("gone", "empty", "hub"):
        assert found[f"model {model}"]["state"] == "bad"
    assert found["model hub"]["remedy"] == "gateway download nobody/nothing"
    assert all(one["remedy"] for one in found.values() if one["state"] != "good")


def test_a_wrong_configuration_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("prot = 1\n")
    found = examined("--config", str(file), code=1)
    assert "prot" in found["configuration"]["found"]


def test_people_get_marks_and_a_verdict(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 0\n")
    done = gateway("doctor", "--config", str(file))
    assert done.returncode == 0
    assert "nothing stands against serving" in done.stdout
