"""Single keys from a terminal, without Enter and without showing them."""

import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wait = Callable[[float], str]
"""Waits so many seconds for a key; returns it, or "" when none was pressed."""


@contextmanager
def keyboard() -> Iterator[Wait | None]:
    """Yield what waits for a key, or None where standard input is no terminal."""
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
    """Wait where there is no keyboard."""
    time.sleep(seconds)
    return ""


def _wait(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""
