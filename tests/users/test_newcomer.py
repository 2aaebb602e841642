"""The task of a newcomer: serve without configuration, ask, look, stop; README and quickstart."""

import json
import re
import signal
from pathlib import Path
from urllib.request import Request, urlopen

from tests.gateway.cli.conftest import Serving, gateway

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_from_the_first_command_to_ctrl_c(tmp_path: Path) -> None:
    mistyped = gateway("sreve")
    assert (mistyped.returncode, "Did you mean serve?" in mistyped.stderr) == (2, True), (
        mistyped.stderr
    )
    with Serving("--port", "0", "--device", "cpu", log=tmp_path / "log") as serving:
        url = serving.url
        body = re.findall(r"-d '(\{.*?\})'", README, re.DOTALL)[0]
        request = Request(f"{url}/v1/rerank", body.encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=120) as reply:
            found = json.load(reply)
        assert [result["index"] for result in found["results"]] == [1]

        with urlopen(Request(f"{url}/", headers={"Accept": "text/html"}), timeout=60) as page:
            assert b"<html" in page.read()

        status = gateway("status", "--url", url)
        assert status.returncode == 0, status.stderr
        assert "embedded (default" in status.stdout

        manual = tmp_path / "manual.txt"
        manual.write_text("The cafeteria opens at eight.\nTo reset a password, open Settings.\n")
        asked = gateway("rerank", "-q", "how to reset a password", str(manual), "--url", url)
        assert json.loads(asked.stdout.splitlines()[0])["document"].startswith("To reset")

        assert serving.stop(signal.SIGINT) == 0
    down = gateway("status", "--url", url)
    assert (down.returncode, "gateway serve" in down.stderr) == (2, True)


def test_a_wrong_model_is_one_error_with_a_reason(tmp_path: Path) -> None:
    done = gateway("serve", "--port", "0", "--model", "mine=/nowhere")
    assert done.returncode == 66
    assert "there is no folder /nowhere" in done.stderr
    assert "Traceback" not in done.stderr
