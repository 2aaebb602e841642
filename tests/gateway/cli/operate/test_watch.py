"""`gateway status --watch`: on a terminal, in a pipe, and while the gateway stops and starts."""

import contextlib
import copy
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.operate.status_table import COLUMNS, LEFT_OUT
from gateway.cli.operate.watch import Screen, render_screen
from tests.gateway.cli.conftest import CLEAN, Serving
from tests.gateway.cli.operate.test_status import status_of
from tests.redis_server import free_port

FAKE = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")
URL = "http://127.0.0.1:8080"


@contextlib.contextmanager
def _watching(url: str, *form: str, **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a command that does not end by itself, and kill it at the end."""
    command = [sys.executable, "-m", "gateway", "status", "--url", url, "--watch", "0.1", *form]
    with subprocess.Popen(command, **how) as process:
        try:
            yield process
        finally:
            process.kill()


# -- on a terminal ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _terminal(url: str) -> Iterator[tuple[subprocess.Popen[Any], int]]:
    ours, its = os.openpty()
    try:
        environ = {**CLEAN, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
        with _watching(url, stdin=its, stdout=its, stderr=its, env=environ) as process:
            os.close(its)
            yield process, ours
    finally:
        os.close(ours)


def _read_until(terminal: int, pattern: bytes) -> bytes:
    seen = b""
    while not re.search(pattern, seen, re.DOTALL):
        seen += os.read(terminal, 4096)
    return seen


def _read_all(terminal: int) -> bytes:
    seen = b""
    with contextlib.suppress(OSError):  # the other end of the terminal is closed
        while more := os.read(terminal, 4096):
            seen += more
    return seen


ALTERNATE_SCREEN, USUAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def test_on_a_terminal_a_screen_is_redrawn_until_q(served: str) -> None:
    with _terminal(served) as (process, terminal):
        seen = _read_until(terminal, rb"(demo/cpu:0.*){3}")
        assert seen.startswith(ALTERNATE_SCREEN) or ALTERNATE_SCREEN in seen
        assert b"q quit" in seen
        os.write(terminal, b"p")
        _read_until(terminal, rb"paused")
        os.write(terminal, b"p")
        _read_until(terminal, rb"every 0.1 s")
        os.write(terminal, b"q")
        rest = _read_all(terminal)
        assert process.wait(120) == 0
    after = rest.partition(USUAL_SCREEN)[2]
    assert b"demo/cpu:0" in after  # the last table stays


def test_ctrl_c_ends_it_and_restores_the_terminal(served: str) -> None:
    with _terminal(served) as (process, terminal):
        _read_until(terminal, rb"demo/cpu:0")
        process.send_signal(signal.SIGINT)
        assert USUAL_SCREEN in _read_all(terminal)
        assert process.wait(120) == 0


def screen_of(*looks: dict[str, Any] | str) -> Screen:
    screen = Screen(URL, 2.0, has_keys=True)
    for number, look in enumerate(looks):
        screen.add(look, 100.0 + number)
    return screen


def text_of(screen: Screen, width: int = 200, height: int = 40) -> str:
    out = Console(width=width, height=height, record=True, file=io.StringIO())
    out.print(render_screen(screen, out, 110.0))
    return out.export_text()


def grown(found: dict[str, Any], seconds: float, documents: int) -> dict[str, Any]:
    later = copy.deepcopy(found)
    later["uptime_seconds"] += seconds
    for model in later["models"]:
        model["shards"][0]["documents"] += documents
    return later


def test_rates_and_their_history_are_above_the_table() -> None:
    first = status_of("ready")
    second = grown(first, 2, 10)
    lines = text_of(screen_of(first, second, grown(second, 2, 20))).splitlines()
    (rate,) = (line for line in lines if line.strip().startswith("docs/s"))
    assert rate.split() == ["docs/s", "▅█", "10.0", "peak", "10.0"]
    (latency,) = (line for line in lines if line.strip().startswith("p95 ms"))
    assert latency.split() == ["p95", "ms", "███", "9.8", "peak", "9.8"]
    (shard,) = (line for line in lines if "bert/cpu:0" in line)
    assert "▅█" in shard


def test_a_missing_answer_is_reported_above_the_last_status() -> None:
    text = text_of(screen_of(status_of("ready"), "nothing answers there"))
    assert "no answer for 10 s, the last status is below: nothing answers there" in text
    assert "bert/cpu:0" in text
    assert "nothing answers there" not in text_of(
        screen_of(status_of("ready"), "nothing answers there", status_of("ready"))
    )


def test_looks_go_on_while_no_gateway_answers() -> None:
    text = text_of(screen_of("nothing answers there"))
    assert "nothing answers there" in text
    assert "q quit" in text


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60])
def test_a_narrow_terminal_has_fewer_columns_and_no_folded_ones(width: int) -> None:
    lines = text_of(screen_of(status_of("ready")), width).splitlines()
    assert max(map(len, lines)) <= width
    (head,) = (line for line in lines if "shard" in line and "state" in line)
    shown = [column.title for column in COLUMNS if f" {column.title} " in f" {head} "]
    gone = [name for name in LEFT_OUT if name not in shown]
    assert gone == list(LEFT_OUT)[: len(gone)]
    assert (not gone) == (width >= 120)
    assert any("left out" in line for line in lines) == bool(gone)
    (shard,) = (line for line in lines if re.search(r"^  (bert/)?cpu:0", line))
    assert "ready" in shard


def test_a_low_terminal_counts_the_lines_left_out() -> None:
    found = status_of(*["ready"] * 20)
    found["models"][0]["shards"][0]["last_error"] = "it has failed"
    lines = text_of(screen_of(found), height=24).splitlines()
    assert len(lines) <= 24
    assert "q quit" in lines[-1]
    shown = sum("cpu:0" in line and "ready" in line for line in lines)
    (rest,) = (
        re.search(r"(\d+) more lines: `gateway status` shows all", line)
        for line in lines
        if "more lines" in line
    )
    assert rest
    assert 5 < 2 * shown <= 40 - int(rest[1]) <= 2 * shown + 1


# -- elsewhere -------------------------------------------------------------------------------------


def test_in_a_pipe_each_look_is_a_json_object(served: str) -> None:
    with _watching(served, "--json", stdout=subprocess.PIPE, text=True, env=CLEAN) as process:
        assert process.stdout is not None
        assert ["demo/cpu:0" in next(process.stdout) for _ in range(2)] == [True, True]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(120) == 0


def test_in_a_pipe_each_look_is_a_line_while_the_gateway_stops_and_starts(tmp_path: Path) -> None:
    with Serving("--port", str(free_port()), *FAKE, log=tmp_path / "one") as serving:
        url = serving.url
        with _watching(url, stdout=subprocess.PIPE, text=True, env=CLEAN) as process:
            lines = process.stdout
            assert lines is not None
            first, second = next(lines), next(lines)
            now = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
            assert re.fullmatch(
                now
                + r" ready: 1/1 models, 1/1 shards, queue 0, - docs/s, - tokens/s, p95 [\d.]+ ms\n",
                first,
            )
            assert "queue 0, 0.0 docs/s, 0 tokens/s" in second
            serving.stop()
            assert _next_with(lines, " down: ").endswith("or give its address with --url\n")
            again = ("--port", url.rpartition(":")[2], *FAKE)
            with Serving(*again, log=tmp_path / "two"):
                _next_with(lines, " ready: 1/1 models")
                process.send_signal(signal.SIGINT)
                lines.read()
                assert process.wait(120) == 0


def _next_with(lines: Iterator[str], words: str) -> str:
    return next(line for line in lines if words in line)
