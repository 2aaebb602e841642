"""Single key presses on a terminal, without Enter and without echo."""

import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wait = Callable[[float], str]
"""Waits this many seconds for a key; returns the key, or "" if none was pressed."""


@contextmanager
def keyboard() -> Iterator[Wait | None]:
    """Yield a function that waits for a key; None where standard input is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)  # Ctrl-C is still an interrupt
    try:
        yield _wait
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def no_keys(seconds: float) -> str:
    """Wait without a keyboard."""
    time.sleep(seconds)
    return ""


def _wait(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""
