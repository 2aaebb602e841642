"""Loading of the compiled kernels, or the reason why they cannot be loaded."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shards.native.build import COMMAND, LIBRARY, is_current, obstacle

_REMEDY = f"{COMMAND} compiles them or says why it cannot"
_READ_REMEDY = f"chmod a+r, run by their owner, makes them readable; {COMMAND} compiles new ones"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of loading.

    Attributes:
        library: the kernels; `None` if they cannot be used.
        summary: whether they are used, or the reason why not.
        remedy: the way to get them; empty for none.
    """

    library: ctypes.CDLL | None
    summary: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.summary}; {self.remedy}" if self.remedy else self.summary


_left_out: list[None] = []


def kernels() -> ctypes.CDLL | None:
    """Return the kernels; `None` where PyTorch's operations take their place."""
    return found_kernels().library


def found_kernels() -> Found:
    """Return the kernels in use now, or the reason for none."""
    return _not_used("they are left out on purpose") if _left_out else find_kernels()


@contextmanager
def without_kernels() -> Iterator[None]:
    """Make layers with PyTorch's operations inside this block, for comparison."""
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
    """Return the reason for nothing to load, and the remedy; `None` if there is a library.

    Raises:
        OSError: there is a file that cannot be read.
    """
    if not path.is_file():
        return obstacle() or ("they were never compiled", _REMEDY)
    return None if is_current(path) else ("they were made of other sources", _REMEDY)


def _loaded(path: Path) -> Found:
    import torch  # noqa: F401  # for its side effect: it loads the OpenMP that the kernels use

    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _not_used(f"they cannot be loaded ({error})", _REMEDY)
    if not library.native_runs_here():
        return _not_used("this CPU lacks AVX-512 with BF16 and VNNI")
    return Found(library, "kernels of our own are used, for AVX-512 with BF16 and VNNI")


def _not_used(why: str, remedy: str = "") -> Found:
    return Found(None, f"kernels of our own are not used: {why}", remedy)
