"""Loading of the compiled kernels, or the reason why they cannot be loaded.

Kernels come in tiers, by the instructions that they need. The best tier that the CPU has is used;
the variable `GATEWAY_CPU` names a lower one, for tests and benchmarks.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from shards.machine.instructions import AVX2, AVX512, LIMIT, limit_of
from shards.native.build import COMMAND, LIBRARY, is_current, obstacle

_REMEDY = f"{COMMAND} compiles them or says why it cannot"
_ALONE = "kernels of our own are used for int8 alone, with AVX2: {}"
_READ_REMEDY = f"chmod a+r, run by their owner, makes them readable; {COMMAND} compiles new ones"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of loading.

    Attributes:
        library: the kernels; `None` if they cannot be used.
        summary: whether they are used, or the reason why not.
        remedy: the way to get them; empty for none.
        tier: the instructions that may be used; empty for none.
    """

    library: ctypes.CDLL | None
    summary: str
    remedy: str = ""
    tier: str = ""

    def __str__(self) -> str:
        return f"{self.summary}; {self.remedy}" if self.remedy else self.summary


_limits: list[str] = []  # tiers; empty for no kernels


def kernels() -> ctypes.CDLL | None:
    """Return the kernels for AVX-512; `None` where PyTorch's operations take their place."""
    found = found_kernels()
    return found.library if found.tier == AVX512 else None


def avx2_kernels() -> ctypes.CDLL | None:
    """Return the kernels where those for AVX2 are the best that the CPU has; else `None`."""
    found = found_kernels()
    return found.library if found.tier == AVX2 else None


def found_kernels() -> Found:
    """Return the kernels in use now, or the reason for none."""
    limit = _limits[-1] if _limits else AVX512
    if not limit:
        return _not_used("they are left out on purpose")
    found = find_kernels()
    if (limit, found.tier) != (AVX2, AVX512):
        return found
    return replace(found, tier=AVX2, summary=_ALONE.format("those for AVX-512 are left out"))


@contextmanager
def without_kernels() -> Iterator[None]:
    """Make layers with PyTorch's operations inside this block, for comparison."""
    with limited_to(""):
        yield


@contextmanager
def limited_to(tier: str) -> Iterator[None]:
    """Make layers with kernels of no higher tier inside this block, for comparison."""
    _limits.append(tier)
    try:
        yield
    finally:
        _limits.pop()


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
    limit = limit_of(os.environ)
    lacks = "this CPU lacks AVX-512 with BF16 and VNNI"
    if library.native_runs_here():
        if limit != AVX2:
            summary = "kernels of our own are used, for AVX-512 with BF16 and VNNI"
            return Found(library, summary, tier=AVX512)
        lacks = f"{LIMIT}={AVX2} leaves out those for AVX-512"
    if library.native_runs_avx2():
        return Found(library, _ALONE.format(lacks), tier=AVX2)
    return _not_used(lacks)


def _not_used(why: str, remedy: str = "") -> Found:
    return Found(None, f"kernels of our own are not used: {why}", remedy)
