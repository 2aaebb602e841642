"""A process that SIGKILL does not end, like one that waits for a driver, without driver or root.

The tracer of a process may stop it at its exit (PTRACE_O_TRACEEXIT): all its descriptors are still
open, its parent gets no notice, and no signal ends it until the tracer detaches. All calls have to
come from one thread of an ancestor; see ptrace(2).
"""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SEIZE, _DETACH = 0x4206, 17
_TRACE_EXIT = 0x40
_EXIT_STOP = signal.SIGTRAP | 6 << 8
_WALL = 0x40000000  # of waitpid: any kind of child

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request: int, pid: int, data: int) -> None:
    if _libc.ptrace(request, pid, None, data):
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}) of {pid} is refused")


@contextmanager
def lingering(pid: int) -> Iterator[Callable[[], None]]:
    """Keep a killed process from ending, until the block ends or its function is called."""
    _ptrace(_SEIZE, pid, _TRACE_EXIT)
    is_held = True

    def let_go() -> None:
        nonlocal is_held
        if is_held:
            is_held = False
            os.kill(pid, signal.SIGKILL)  # harmless if it was killed before
            while os.waitpid(pid, _WALL)[1] >> 8 != _EXIT_STOP:
                pass
            _ptrace(_DETACH, pid, 0)

    try:
        yield let_go
    finally:
        let_go()
