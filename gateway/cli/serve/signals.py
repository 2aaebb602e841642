"""SIGTERM and SIGINT: the end of the process outside the server's loop, and its time limit.

uvicorn installs handlers of its own, drains, restores those that were installed before, and then
raises the caught signal once more.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from gateway.cli import exit_codes

SPARE_SECONDS = 4.0
"""The time for shards and files after the last request; those that are stuck are left behind."""

_LOG_SECONDS = 0.2  # the log itself may be what blocks


class EndSignals:
    """The handler of SIGTERM and SIGINT before the server runs and after it has ended.

    Before the server runs, no request is open and no shard is started, so the process ends at once.
    It does not raise `SystemExit`, which Python loses when the signal arrives in a callback.

    Attributes:
        admin_socket: the socket to remove, once it has been made.
        has_begun: set once the server has caught a signal: it ends the process.
    """

    def __init__(self) -> None:
        self.admin_socket: Path | None = None
        self.has_begun = False

    def install(self) -> None:
        """Install the handler, and block SIGHUP until its handler is installed."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self)

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.has_begun:
            return
        if self.admin_socket is not None:
            with contextlib.suppress(OSError):
                self.admin_socket.unlink(missing_ok=True)
        _flush()
        os._exit(exit_codes.OK)


class EndGuard:
    """Ends the process if its shutdown takes too long, whatever blocks it."""

    def __init__(self, seconds: float, leave: Callable[[], None]) -> None:
        """Start the thread that waits for the start of the shutdown.

        Args:
            seconds: the time limit, from `start` on.
            leave: kills what the process leaves behind.
        """
        self._seconds = seconds
        self._leave = leave
        self._started: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="end guard", daemon=True).start()

    def start(self) -> None:
        """Start the clock; a signal handler may call it."""
        self._started.put(None)

    def _run(self) -> None:
        self._started.get()
        time.sleep(self._seconds)
        logged = threading.Thread(target=self._log, daemon=True)
        logged.start()
        logged.join(_LOG_SECONDS)
        with contextlib.suppress(Exception):
            self._leave()
        os._exit(exit_codes.OK)

    def _log(self) -> None:
        logging.getLogger("gateway").error(
            "the shutdown takes more than %g s: the process ends without the rest of it",
            self._seconds,
        )


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
            stream.flush()
