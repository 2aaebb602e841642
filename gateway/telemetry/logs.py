"""Log configuration: one JSON object per line, or coloured lines on a terminal, on stderr.

structlog and the standard library's loggers (uvicorn's too) go through one handler. Counts, names,
times and ids may be logged; the text of a request never is. As a second protection long strings are
cut, and control characters are escaped, so that no value can fake a line or colour a terminal.

A reader of the log may stop reading: a full pipe would then block the whole event loop at the next
line. Lines that cannot be written at once are dropped and counted instead.
"""

import contextlib
import io
import logging
import os
import select
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
_OF_EVERY_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_OWN = len(vars(logging.makeLogRecord({})))  # the attributes of a record before any is added

LONGEST_VALUE = 2000
"""The most characters of one logged string; tracebacks are not cut."""


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send all logging of this process to a stream.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `json`, `console`, or `auto` for console on a terminal and JSON elsewhere.
        stream: standard error when `None`.
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    on_console = form == "console" or (form == "auto" and terminal)
    handler = ToJournal(stream) if is_journal(stream, os.environ) else Unblocked(stream)
    handler.setFormatter(
        _formatter(structlog.stdlib.ProcessorFormatter, _console(colours=terminal))
        if on_console
        else _formatter(JsonLines, _JSON)
    )
    # our lines hold none of these, and each record would look them up
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # uvicorn's own start and stop lines repeat ours
    logging.getLogger("uvicorn").setLevel("DEBUG" if level == "debug" else "WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _formatter(
    kind: type[structlog.stdlib.ProcessorFormatter], rendering: Sequence[Processor]
) -> logging.Formatter:
    first = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return kind(foreign_pre_chain=SHARED, processors=[first, *rendering])


class JsonLines(structlog.stdlib.ProcessorFormatter):
    """Formatter of ordinary records: the same line as the processors', at a fifth of the cost."""

    def format(self, record: logging.LogRecord) -> str:
        known = vars(record)
        if record.exc_info or record.stack_info or "_logger" in known:
            return super().format(record)
        line: EventDict = {
            "timestamp": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        for key, value in islice(known.items(), _OWN, None):
            if key not in _OF_EVERY_RECORD:
                line[key] = value
        return _to_json(_cut(None, "", line))


class Unblocked(logging.StreamHandler[TextIO]):
    """Handler that never waits for the reader of its stream.

    Attributes:
        dropped: lines dropped since the last one written.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.dropped = 0
        self._is_torn = False  # whether the last line lacks its end
        self._fd = _descriptor(stream)
        self._room = select.poll()
        if self._fd is not None:
            self._room.register(self._fd, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it the number of dropped ones; or drop it."""
        if self._fd is None:
            super().emit(record)
            return
        try:
            end = "\n" if self._is_torn else ""
            if self.dropped and self._write(f"{end}{self.format(_dropped(self.dropped))}\n"):
                self.dropped = 0
            if not self._write(f"{self.format(record)}\n"):
                self.dropped += 1
        except Exception:  # every handler of logging does this
            self.handleError(record)

    def _write(self, text: str) -> bool:
        """Write in pieces that a pipe with any room accepts whole; return whether all were."""
        assert self._fd is not None
        whole = left = text.encode(errors="backslashreplace")
        # A full disk, or a reader that has gone, is no error of the log: its lines are dropped.
        with contextlib.suppress(OSError):
            while left and self._room.poll(0):
                left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]
        if len(left) < len(whole):
            self._is_torn = bool(left)
        return not left


PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Priorities of syslog by level; a critical line has 2."""


class ToJournal(Unblocked):
    """Handler for systemd's journal: each line begins with its priority, as sd-daemon(3) asks.

    So `journalctl -p err` and `-p warning` find what they should.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record, each with `<N>` before it."""
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(f"{prefix}{line}" for line in super().format(record).splitlines())


def _priority(level: int) -> int:
    known = [priority for least, priority in PRIORITIES.items() if level <= least]
    return known[0] if known else 2


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether a stream goes to systemd's journal.

    A child inherits JOURNAL_STREAM even where its output goes elsewhere, so it names the file.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    descriptor = _descriptor(stream)
    if descriptor is None or not (device.isdecimal() and inode.isdecimal()):
        return False
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (int(device), int(inode))


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None


def _dropped(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "%d log lines were dropped: they could not be written at once",
            "args": (count,),
        }
    )


def _cut(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Cut long strings, and append their length."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            event[key] = f"{value[:LONGEST_VALUE]}... ({len(value)} characters)"
    return event


def _escape(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Make control characters visible; JSON escapes them anyway."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
    return event


def _ordered(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Move the keys of every line to the front."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _console(*, colours: bool) -> list[Processor]:
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=colours,
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _to_json(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str, option=_OPTIONS).decode()


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _cut,
]

_JSON: list[Processor] = [
    structlog.processors.format_exc_info,
    _ordered,
    structlog.processors.JSONRenderer(serializer=_to_json),
]
