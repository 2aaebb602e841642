"""A thread for work on files that the process can leave behind.

A write to a disk that hangs never returns. The threads of an executor are joined when the
interpreter exits; this one is not.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Task = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """A daemon thread that does one piece of work after the other.

    Args:
        name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while task := self._tasks.get():
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # as an executor does: it belongs to the caller
                future.set_exception(error)

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Do something in the thread, after all work before it."""
        future: Future[_Result] = Future()
        self._tasks.put((future, work))
        return future

    def stop(self) -> None:
        """End the thread after all work before."""
        self._tasks.put(None)
