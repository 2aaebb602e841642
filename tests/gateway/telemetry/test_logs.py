"""Log lines: one format for all loggers, safe to read, on the configured stream."""

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from gateway.telemetry import logs


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_both_kinds_of_loggers_write_the_same_json() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    structlog.get_logger("gateway").info("ready", model="bert", shards=2)
    logging.getLogger("gateway.serving.fleet").warning("shard %s is lost", "bert/cpu:0")
    first, second = lines(stream)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["model"], first["shards"]) == ("ready", "bert", 2)
    assert (second["event"], second["level"]) == ("shard bert/cpu:0 is lost", "warning")
    assert second["logger"] == "gateway.serving.fleet"


def test_extra_fields_of_ordinary_loggers_are_kept() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logging.getLogger("gateway.http.middleware").info("request", extra={"code": 200})
    assert lines(stream)[0]["code"] == 200


def test_less_important_lines_are_left_out() -> None:
    stream = io.StringIO()
    logs.configure("warning", stream=stream)
    structlog.get_logger("gateway").info("no")
    logging.getLogger("gateway").info("no")
    structlog.get_logger("gateway").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_uvicorn_is_quiet_but_its_errors_are_not() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["event"] for line in lines(stream)] == ["Exception in ASGI application"]


def test_configuring_twice_writes_once() -> None:
    stream = io.StringIO()
    logs.configure(stream=io.StringIO())
    logs.configure(stream=stream)
    logging.getLogger("gateway").warning("once")
    assert len(lines(stream)) == 1


def test_an_exception_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger("gateway").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: boom" in line["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_value_can_fake_a_line(form: str) -> None:
    stream = io.StringIO()
    logs.configure(form=form, stream=stream)
    structlog.get_logger("gateway").info("request", path="/x\nready \x1b[31m\u2028")
    logging.getLogger("gateway").info("lost: %s", "/x\nready \x1b[31m\u2028")
    assert stream.getvalue().count("\n") == 2
    assert "\x1b[31m" not in stream.getvalue()


def test_long_values_are_cut_with_their_length() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    structlog.get_logger("gateway").info("request", path="x" * 5000)
    path = lines(stream)[0]["path"]
    assert len(path) < 2100
    assert path.endswith("(5000 characters)")


def test_a_terminal_gets_console_lines() -> None:
    stream = Terminal()
    logs.configure(stream=stream)
    structlog.get_logger("gateway").info("ready", model="bert")
    assert not stream.getvalue().startswith("{")
    assert "ready" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


def test_json_is_possible_on_a_terminal() -> None:
    stream = Terminal()
    logs.configure(form="json", stream=stream)
    structlog.get_logger("gateway").info("ready")
    assert lines(stream)[0]["event"] == "ready"


def test_a_log_without_a_reader_blocks_nothing() -> None:
    """Lines that do not fit in the pipe are dropped, and reported when there is room again."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "w") as stream:  # noqa: PTH123 # descriptors
        logs.configure(form="json", stream=stream)
        log = logging.getLogger("gateway")
        for number in range(3000):
            log.warning("line %d %s", number, "x" * 500)
        written = os.read(reader.fileno(), 10_000_000)
        log.warning("there is room")
        written += os.read(reader.fileno(), 10_000_000)
    events = [json.loads(line)["event"] for line in written.splitlines()[-2:]]
    kept = written.count(b'"line ')
    assert events[1] == "there is room"
    assert events[0] == (f"{3000 - kept} log lines were dropped: they could not be written at once")
    assert 0 < kept < 3000


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, socket.socket]]:
    """A stream and its other end; JOURNAL_STREAM names the stream, as systemd does it."""
    ours, its = socket.socketpair()
    with ours, its, os.fdopen(os.dup(its.fileno()), "w", encoding="utf-8") as stream:
        found = os.fstat(its.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        yield stream, ours


def test_the_journal_gets_the_priority_of_each_line(
    journal: tuple[TextIO, socket.socket],
) -> None:
    stream, reader = journal
    logs.configure("debug", stream=stream)
    for level in ("debug", "info", "warning", "error", "critical"):
        logging.getLogger("gateway").log(logging.getLevelName(level.upper()), level)
    lines = reader.recv(65536).decode().splitlines()
    assert [line[:4] for line in lines] == ["<7>{", "<6>{", "<4>{", "<3>{", "<2>{"]
    assert json.loads(lines[3][3:])["event"] == "error"


def test_every_line_of_a_traceback_has_its_priority(
    journal: tuple[TextIO, socket.socket],
) -> None:
    stream, reader = journal
    logs.configure(form="console", stream=stream)
    try:
        raise ValueError("a bug")
    except ValueError:
        logging.getLogger("gateway").exception("it met")
    lines = reader.recv(65536).decode().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


@pytest.mark.parametrize("value", ["", "1:1", "x:y", "8", ":"])
def test_another_stream_than_the_journal_gets_none(
    journal: tuple[TextIO, socket.socket], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    stream, reader = journal
    monkeypatch.setenv("JOURNAL_STREAM", value)
    logs.configure(stream=stream)
    logging.getLogger("gateway").error("plain")
    assert reader.recv(65536).startswith(b"{")


def test_an_inherited_name_of_the_journal_does_not_count_for_a_file(
    journal: tuple[TextIO, socket.socket], tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as file:
        logs.configure(stream=file)
        logging.getLogger("gateway").error("plain")
    assert (tmp_path / "log").read_text().startswith("{")
