"""Work on files in a thread that the process can leave behind.

A read of a pipe without a writer, or of a mount that hangs, never returns, and nothing can
interrupt it. The threads of `asyncio.to_thread` are joined when the interpreter exits, so such a
read would survive SIGTERM; the daemon threads here are not.
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.config.problems import ConfigError, Problem

READ_SECONDS = 10.0
"""The time limit for all files of one reload to be read."""

MOST_BLOCKED = 16
"""Threads that may be blocked at a time; each keeps its memory until its read returns."""

MOST_CHARACTERS = 16 * 1024**2
"""The longest file that is read: some 80,000 keys. It is read and parsed within two seconds."""

T = TypeVar("T")

_threads: set[threading.Thread] = set()
_files: dict[threading.Thread, Path] = {}


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Record the file that this thread reads, for the error of a read that blocks."""
    thread = threading.current_thread()
    before = _files.get(thread)
    _files[thread] = file
    try:
        yield
    finally:
        if before is None:
            _files.pop(thread, None)
        else:
            _files[thread] = before


def read_text(file: Path) -> str:
    """Return the text of a file of the operator.

    Raises:
        OSError: it cannot be read, or it is longer than `MOST_CHARACTERS`.
        UnicodeDecodeError: it is not UTF-8.
    """
    with reading(file), file.open(encoding="utf-8") as opened:
        text = opened.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise OSError(errno.EFBIG, f"it is longer than {MOST_CHARACTERS:,} characters")
    return text


async def run_abandonable(work: Callable[[], T], seconds: float | None = None) -> T:
    """Return the result of work in a thread; leave the thread behind if it takes too long.

    Raises:
        ConfigError: time has run out, and the error names the file; or too many threads are
            blocked already.
        Exception: what the work raises.
    """
    seconds = READ_SECONDS if seconds is None else seconds
    thread, result = _start(work)
    waiting = asyncio.wrap_future(result)
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()  # or a result after the end of the loop would be an error
    if not result.done():
        raise _blocked(thread, seconds)
    return result.result()


def run_patiently(
    work: Callable[[], T], blocked: Callable[[str], None], seconds: float = READ_SECONDS
) -> T:
    """Return the result of work in a thread, however long it takes; signals are handled meanwhile.

    Args:
        work: the work.
        blocked: called with the name of the file whenever so many seconds have passed.
        seconds: the time between two calls.
    """
    thread, result = _start(work)
    while True:
        try:
            return result.result(seconds)
        except NotDone:
            if result.done():  # the work itself has raised it
                raise
            blocked(_file(thread))


def _start(work: Callable[[], T]) -> tuple[threading.Thread, Future[T]]:
    if len(_threads) >= MOST_BLOCKED:
        message = f"{len(_threads)} reads of files are blocked already"
        remedy = "Check for pipes without a writer and mounts that hang; restart the gateway"
        raise ConfigError([Problem(path=(), message=message, remedy=remedy)])
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # so that no caller cancels it

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # passed on, whatever it is
            result.set_exception(error)
        else:
            result.set_result(found)
        finally:
            _threads.discard(thread)

    thread = threading.Thread(target=run, name="reads", daemon=True)
    _threads.add(thread)
    try:
        thread.start()
    except RuntimeError:  # no thread left
        _threads.discard(thread)
        raise
    return thread, result


def _file(thread: threading.Thread) -> str:
    return str(_files.get(thread, "a file of the configuration"))


def _blocked(thread: threading.Thread, seconds: float) -> ConfigError:
    message = f"is not read within {seconds:g} s"
    remedy = "Check for a pipe without a writer or a mount that hangs"
    return ConfigError([Problem(path=(), message=message, remedy=remedy, origin=_file(thread))])
