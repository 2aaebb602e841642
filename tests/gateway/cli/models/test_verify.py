"""`gateway verify`: a model in a process of its own, a server by its URL."""

import json
import socket
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli import cli
from tests.gateway.cli.conftest import gateway


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *arguments])


def checks(text: str) -> dict[str, Any]:
    report = json.loads(text)
    assert report["passed"] is all(check["passed"] is not False for check in report["checks"])
    return {check["name"]: check for check in report["checks"]}


def test_an_embedded_model_is_right() -> None:
    done = gateway("verify", "embedded:bert", "--dtype", "fp32", "--pairs", "8", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = checks(done.stdout)
    assert {name: check["passed"] for name, check in found.items()} == {
        "load": True,
        "canaries": True,
        "batches": True,
        "published": None,
        "agreement": True,
    }
    assert found["agreement"]["figures"]["pairs"] == 8
    assert found["agreement"]["figures"]["difference"] < 1e-4
    facts = json.loads(done.stdout)["facts"]
    assert facts["architecture"].startswith("BertForSequenceClassification")
    assert facts["languages"] == "en, ru"


def test_a_model_that_cannot_be_served_fails_the_check(tmp_path: Any) -> None:
    done = gateway("verify", str(tmp_path / "gone"), "--json")
    assert done.returncode == 1
    found = checks(done.stdout)
    assert found["load"]["passed"] is False
    assert "gone" in found["load"]["said"]


def test_scores_without_meaning_fail_except_on_purpose() -> None:
    arguments = ("verify", "demo=fake?judged=1", "--engine", "fake")
    done = gateway(*arguments)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "wrong order" in done.stdout
    assert gateway(*arguments, "--canary", "numeric").returncode == 0


def test_a_server_is_examined_by_its_scores(served: str) -> None:
    result = run(served, "--json")
    assert result.exit_code == 1
    found = checks(result.stdout)
    assert found["requests"]["passed"] is True
    assert "wrong order" in found["canaries"]["said"]
    assert json.loads(result.stdout)["facts"]["engine"] == "fake"
    assert run(served, "--canary", "numeric", "--model", "demo").exit_code == 0


def test_another_model_is_refused(served: str) -> None:
    result = run(served, "--model", "absent")
    assert result.exit_code == 1
    assert "absent" in result.stderr


def test_nothing_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = run(f"http://127.0.0.1:{free.getsockname()[1]}")
    assert result.exit_code == 2


def test_options_without_effect_are_refused(served: str) -> None:
    assert run(served, "--dtype", "fp32").exit_code == 2
    assert run("embedded", "--model", "x").exit_code == 2


def test_a_server_is_named_as_for_other_commands(served: str) -> None:
    by_argument = json.loads(run(served, "--model", "demo", "--json").stdout)
    for arguments in (("demo", "--url", served), ("--url", served, "--model", "demo")):
        assert json.loads(run(*arguments, "--json").stdout)["checks"] == by_argument["checks"]
    asked = CliRunner(env={"GATEWAY_URL": served}).invoke(cli, ["verify", "--json"])
    assert asked.exit_code == 1
    assert json.loads(asked.stdout)["checks"] == by_argument["checks"]
    local = CliRunner(env={"GATEWAY_URL": served}).invoke(cli, ["verify", "/nowhere", "--json"])
    assert "/nowhere" in json.loads(local.stdout)["checks"][0]["said"]


def test_a_server_or_model_is_named_once(served: str) -> None:
    for arguments, words in (
        ((), "name a MODEL, or give --url URL"),
        ((served, "--url", served), "the URL is given twice"),
        (("demo", "--url", served, "--model", "demo"), "named twice"),
        (("./here", "--model", "demo"), "--model needs a URL"),
    ):
        refused = run(*arguments)
        assert (refused.exit_code, words in refused.stderr) == (2, True), refused.output
