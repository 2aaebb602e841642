"""`gateway doctor` on this machine, and on configurations that cannot be served."""

import json
import re
import socket
from pathlib import Path
from typing import Any

from gateway.cli.doctor.command import verdict
from gateway.cli.doctor.finding import bad, good, note
from tests.gateway.cli.conftest import gateway


def examine(*options: str, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    done = gateway("doctor", "--json", *options, **environ)
    assert done.returncode == code, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["ok"] is (code == 0)
    return {finding["name"]: finding for finding in found["findings"]}


def test_this_machine_can_serve(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 0\n")
    found = examine("--config", str(file), code=0)
    assert found["model embedded"]["state"] == "good"
    assert "`auto` chooses cpu" in found["auto"]["found"]
    assert {"python", "processor", "cores", "memory", "limits", "torch", "port"} <= set(found)


def test_every_problem_has_a_remedy(tmp_path: Path) -> None:
    file, empty = tmp_path / "gateway.toml", tmp_path / "empty"
    empty.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(
            f'port = {port}\noffline = true\n[models.gone]\nsource = "{tmp_path}/gone"\n'
            f'[models.empty]\nsource = "{empty}"\n[models.hub]\nsource = "owner/nothing"\n'
        )
        found = examine("--config", str(file), code=1)
    assert f"port {port} is in use" in found["port"]["found"]
    for model in ("gone", "empty", "hub"):
        assert found[f"model {model}"]["state"] == "bad"
    assert found["model hub"]["remedy"] == "gateway download owner/nothing"
    assert all(each["remedy"] for each in found.values() if each["state"] != "good")


def test_a_wrong_configuration_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("prot = 1\n")
    found = examine("--config", str(file), code=1)
    assert "prot" in found["configuration"]["found"]


def test_the_table_ends_with_a_verdict(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("port = 0\n")
    done = gateway("doctor", "--config", str(file))
    assert done.returncode == 0
    assert re.search(r"No problems, (no|\d+) notes?: this machine can serve\.", done.stdout)


def test_the_verdict_counts_problems_and_notes() -> None:
    problem, hint, fine = bad("a", "b", "c"), note("a", "b", "c"), good("a", "b")
    assert verdict([fine]) == "No problems, no notes: this machine can serve."
    assert verdict([problem, hint]) == "1 problem, 1 note: fix it before serving."
    assert verdict([problem] * 2 + [hint] * 3) == "2 problems, 3 notes: fix them before serving."
