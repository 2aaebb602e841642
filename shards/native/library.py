"""The compiled kernels, loaded if they can be; and why not, if they cannot."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shards.native.build import LIBRARY, is_current, obstacle

_REMEDY = "scripts/setup, or python -m shards.native.build, compiles them or says why it cannot"
_READ_REMEDY = "their owner lets others read them with chmod a+r; scripts/setup makes one's own"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of loading.

    Attributes:
        library: the kernels; `None` if they cannot be used.
        said: whether they are used, and why not.
        remedy: what to do about it; empty if nothing can be done.
    """

    library: ctypes.CDLL | None
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.said}; {self.remedy}" if self.remedy else self.said


_left_out: list[None] = []


def kernels() -> ctypes.CDLL | None:
    """Return the kernels; `None` where PyTorch's operations have to do."""
    return found_kernels().library


def found_kernels() -> Found:
    """Return whether the kernels are used now, and why not."""
    return _not_used("they are left out on purpose") if _left_out else find_kernels()


@contextmanager
def without_kernels() -> Iterator[None]:
    """Have everything that is made meanwhile use PyTorch's operations: to compare the two."""
    _left_out.append(None)
    try:
        yield
    finally:
        _left_out.pop()


@cache
def find_kernels(path: Path = LIBRARY) -> Found:
    """Load the kernels at `path`, once in this process."""
    try:
        why_not = _absence(path)
    except OSError as error:
        return _not_used(f"they cannot be read ({error})", _READ_REMEDY)
    return _not_used(*why_not) if why_not else _loaded(path)


def _absence(path: Path) -> tuple[str, str] | None:
    """Return why there is nothing to load, and what to do; `None` if there is something.

    Raises:
        OSError: something is there, and cannot be read.
    """
    if not path.is_file():
        return obstacle() or ("they were never compiled", _REMEDY)
    return None if is_current(path) else ("they were made of other sources", _REMEDY)


def _loaded(path: Path) -> Found:
    import torch  # noqa: F401  # brings the threads that the kernels use

    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _not_used(f"they cannot be loaded ({error})", _REMEDY)
    if not library.native_runs_here():
        return _not_used("this CPU lacks AVX-512 with BF16 and VNNI")
    return Found(library, "kernels of our own are used, for AVX-512 with BF16 and VNNI")


def _not_used(why: str, remedy: str = "") -> Found:
    return Found(None, f"kernels of our own are not used: {why}", remedy)
