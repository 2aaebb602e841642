"""What the C library does with freed memory: it keeps it while a model loads, and gives it back then.

By itself it returns large pieces to the system at once, which clears each page again before it lends
it for the next layer: on virtual machines that took longer than to read and pack the layer.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see its manual page
_ALL = 1 << 30  # bytes: no piece of a layer is larger
_USUAL = 32 << 20  # where the library's own bound ends up after large pieces were freed


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Have freed memory used again while the block runs; what is free after it goes back."""
    _set_bounds(_ALL)
    try:
        yield
    finally:
        _set_bounds(_USUAL)
        give_back()


def _set_bounds(size: int) -> None:
    if set_option := _function("mallopt"):
        set_option(_MMAP_THRESHOLD, size)
        set_option(_TRIM_THRESHOLD, 2 * size - 1)


def give_back() -> None:
    """Give the memory of what was dropped back to the system, where the C library keeps it."""
    gc.collect()
    if trim := _function("malloc_trim"):
        trim(0)


def _function(name: str) -> Any:
    """Return a function of glibc; `None` elsewhere: musl has no such options."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
