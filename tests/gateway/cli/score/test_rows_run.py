"""`gateway rerank` on files of requests: single bad rows, interruptions, restarts, terminals."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import CLEAN, TIMEOUT_SECONDS, Serving, gateway
from tests.redis_server import free_port

FAKE = ("--model", "demo=fake", "--engine", "fake", "--device", "cpu:0")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rerank", *arguments])


def requests(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"q{number}", "query": f"query {number}", "documents": [f"a {number}", "b", "c"]}
        for number in range(count)
    ]


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return str(path)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the line of the output for a request."""
    margins = [margin(request["query"], document) for document in request["documents"]]
    order = sorted(range(len(margins)), key=lambda index: (-margins[index], index))
    results = [
        {
            "index": index,
            "relevance_score": sigmoid(margins[index]),
            "document": request["documents"][index],
        }
        for index in order
    ]
    return {"id": request["id"], "query": request["query"], "results": results}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_bad_rows_are_reported_counted_and_answered(served: str, tmp_path: Path) -> None:
    rows: list[Any] = requests(300)
    rows[100] = '{"query": "torn", "docum'
    rows[200] = {"id": "q200", "query": "", "documents": ["a"]}
    file, output = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    result = run(file, "--url", served, "--output", str(output))
    assert result.exit_code == 1, result.output
    found = lines(output.read_text())
    assert found[100] == {"row": 101, "error": found[100]["error"]}
    assert "in.jsonl, line 101: not JSON" in found[100]["error"]
    assert found[200]["id"] == "q200" and "query" in found[200]["error"]
    assert "in.jsonl, line 101: not JSON" in result.stderr
    assert "2 of 300 rows have no scores: 1 refused, 1 malformed" in result.stderr
    for at, request in enumerate(rows):
        assert at in (100, 200) or found[at] == answer(request)

    del rows[200]
    file = write(tmp_path / "malformed.jsonl", rows)
    result = run(file, "--url", served)
    assert result.exit_code == 65
    assert len(lines(result.stdout)) == 299

    output.unlink()
    result = run(file, "--url", served, "--strict", "--output", str(output))
    assert result.exit_code == 65
    assert "malformed.jsonl, line 101: not JSON" in result.stderr
    assert lines(output.read_text()) == [answer(request) for request in rows[:100]]


def test_json_files_and_addresses_without_scheme(served: str, tmp_path: Path) -> None:
    rows = requests(3)
    (tmp_path / "in.json").write_text(json.dumps(rows, indent=1))
    url = served.removeprefix("http://")
    result = run(f"file://{tmp_path / 'in.json'}", "--url", url)
    assert result.exit_code == 0, result.output
    assert lines(result.stdout) == [answer(request) for request in rows]
    (tmp_path / "documents.json").write_text('{"documents": ["one", "two"]}')
    result = run("-q", "q", str(tmp_path / "documents.json"), "--url", url, "--top-n", "2")
    assert sorted(row["document"] for row in lines(result.stdout)) == ["one", "two"]
    output = tmp_path / "out.json"
    result = run(str(tmp_path / "in.json"), "--url", url, "--format", "json", "-o", str(output))
    assert result.exit_code == 0 and result.stdout == ""
    assert json.loads(output.read_text()) == [answer(request) for request in rows]
    assert run("-q", "q", "-d", "a", "--url", url, "-o", str(output)).exit_code == 73
    result = run("-q", "q", "-d", "a", "--url", served.replace("http", "https"))
    assert result.exit_code == 2
    assert f"speaks plain HTTP, not TLS: use {served}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("in.jsonl",),
        ("-", "-o", "x"),
        ("-q", "q", "a", "-o", "x"),
        ("a", "-o", "x", "--format", "json"),
    ],
)
def test_a_run_that_cannot_be_resumed_is_refused(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--resume", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "--resume" in result.stderr


def started(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    """Start `gateway rerank` as a process that gets signals."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "rerank", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CLEAN,
        text=True,
    )


def until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def has_rows(output: Path, size: int = 1) -> Callable[[], bool]:
    return lambda: output.exists() and output.stat().st_size >= size


@pytest.mark.timeout(400)
def test_a_killed_or_interrupted_run_goes_on_where_it_stopped(served: str, tmp_path: Path) -> None:
    rows = requests(20_000)
    file, output = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    command = (file, "--url", served, "--output", str(output), "--resume")

    process = started(*command)
    until(has_rows(output), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = output.read_bytes()
    assert 0 < done.count(b"\n") < len(rows)
    output.write_bytes(done[: done.rindex(b"\n") + 1] + b'{"id": "q1", "query": "to')

    process = started(*command)
    until(has_rows(output, len(done) + 500), process)  # more than the torn line
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 130, errors
    assert "--resume goes on with" in errors and "Traceback" not in errors
    assert output.read_bytes().endswith(b"}\n")
    assert output.read_bytes().count(b"\n") < len(rows)

    before = output.read_bytes()
    for other in ("--top-n", "2"), ("--instruction", "other"):
        result = run(*command, *other)
        assert result.exit_code == 73
        assert "is the output of another run" in result.stderr
    assert output.read_bytes() == before

    for _ in range(2):  # the second one finds nothing to do
        done_process = gateway("rerank", *command)
        assert done_process.returncode == 0, done_process.stderr
        assert lines(output.read_text()) == [answer(request) for request in rows]

    write(tmp_path / "in.jsonl", [*rows, rows[0]])
    result = run(*command)
    assert result.exit_code == 73
    assert "is not the file that it was" in result.stderr


@pytest.mark.timeout(400)
def test_a_run_outlives_a_restart_of_the_gateway(tmp_path: Path) -> None:
    port = str(free_port())
    rows = requests(20_000)
    file, output = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    command = (file, "--url", f"127.0.0.1:{port}", "--output", str(output))
    with Serving("--port", port, *FAKE, log=tmp_path / "first") as serving:
        serving.wait_for("ready at")
        process = started(*command)
        until(has_rows(output), process)
        serving.process.kill()
        serving.process.wait()
        assert output.read_bytes().count(b"\n") < len(rows)
    with Serving("--port", port, *FAKE, log=tmp_path / "second"):
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS * 2)
        assert process.returncode == 0, errors
    assert lines(output.read_text()) == [answer(request) for request in rows]


def test_a_run_whose_gateway_is_gone_ends(served: str, tmp_path: Path) -> None:
    file, output = write(tmp_path / "in.jsonl", requests(20_000)), tmp_path / "out.jsonl"
    with Serving("--port", "0", *FAKE, log=tmp_path / "log") as serving:
        process = started(file, "--url", serving.url, "-o", str(output), "--retry-for", "0.5")
        until(has_rows(output), process)
        serving.process.kill()
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 2
    assert "cannot be reached" in errors and "(tried for 0.5 s)" in errors
    assert "--resume goes on with" in errors


def test_a_slow_pipe_is_answered_row_by_row_and_ctrl_c_ends_it(served: str) -> None:
    process = started("-", "--url", served, stdin=subprocess.PIPE)
    assert process.stdin and process.stdout
    for request in requests(3):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == answer(request)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, errors) == (130, "error: interrupted\n")


def test_local_shards_score_batches(tmp_path: Path) -> None:
    rows = requests(500)
    done = gateway("rerank", write(tmp_path / "in.jsonl", rows), *FAKE)
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(done.stdout) == [answer(request) for request in rows]


def test_a_terminal_shows_total_and_remaining_time(tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", requests(40))
    slow = ("--model", "demo=fake?delay_ms=400", "--engine", "fake", "--device", "cpu:0")
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "rerank", file, "-o", str(tmp_path / "out"), *slow],
        stderr=end,
        env={**CLEAN, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(end)
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    os.close(terminal)
    assert process.wait(TIMEOUT_SECONDS) == 0
    assert b"/40" in shown and b"requests" in shown and b"left:" in shown
