"""Loading of the compiled kernels, or the reason why they cannot be loaded.

Kernels come in tiers, by the instructions that they need. The best tier that the CPU has is used;
the variable `GATEWAY_CPU` names a lower one, for tests and benchmarks.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from shards.machine.instructions import AMX, AVX2, TIERS, WIDE, limit_of, lower
from shards.native.build import COMMAND, LIBRARY, is_current, obstacle

_REMEDY = f"{COMMAND} compiles them or says why it cannot"
_ALL_STEPS = "kernels of our own are used, for"
_INT8_ALONE = "kernels of our own are used for int8 alone, with"
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


class Kernels(ctypes.CDLL):
    """The kernels of one tier: each name stands for that of the tier, see `build.py`."""

    def __init__(self, path: Path, tier: str) -> None:
        """Load the library at `path`, once more for each tier that is used.

        Raises:
            OSError: it cannot be loaded.
        """
        super().__init__(str(path))
        self._suffix = _symbol("", tier)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name + self._suffix if name.startswith("native_") else name)


_limits: list[str] = []  # tiers; empty for no kernels


def kernels() -> ctypes.CDLL | None:
    """Return the kernels for AVX-512; `None` where PyTorch's operations take their place."""
    found = found_kernels()
    return found.library if found.tier in WIDE else None


def avx2_kernels() -> ctypes.CDLL | None:
    """Return the kernels where those for AVX2 are the best that the CPU has; else `None`."""
    found = found_kernels()
    return None if found.tier in WIDE else found.library


def found_kernels() -> Found:
    """Return the kernels in use now, or the reason for none."""
    limit = _limits[-1] if _limits else AMX
    return _within(LIBRARY, limit) if limit else _not_used("they are left out on purpose")


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


def find_kernels(path: Path = LIBRARY) -> Found:
    """Load the best kernels at `path` that this CPU takes, once in this process."""
    return _within(path, AMX)


@cache
def _within(path: Path, limit: str) -> Found:
    try:
        why_not = _absence(path)
    except OSError as error:
        return _not_used(f"they cannot be read ({error})", _READ_REMEDY)
    return _not_used(*why_not) if why_not else _loaded(path, limit)


def _absence(path: Path) -> tuple[str, str] | None:
    """Return the reason for nothing to load, and the remedy; `None` if there is a library.

    Raises:
        OSError: there is a file that cannot be read.
    """
    if not path.is_file():
        return obstacle() or ("they were never compiled", _REMEDY)
    return None if is_current(path) else ("they were made of other sources", _REMEDY)


def _loaded(path: Path, limit: str) -> Found:
    import torch  # noqa: F401  # for its side effect: it loads the OpenMP that the kernels use

    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _not_used(f"they cannot be loaded ({error})", _REMEDY)
    best = next(filter(partial(_runs, library), TIERS), "")
    if not best:
        return _not_used(f"this CPU lacks {TIERS[AVX2]}")
    limit = lower(limit, limit_of(os.environ))
    tier = next(filter(partial(_runs, library), list(TIERS)[list(TIERS).index(limit) :]))
    use = _ALL_STEPS if tier in WIDE else _INT8_ALONE
    left_out = f"; those for {TIERS[best]} are left out" if tier != best else ""
    return Found(Kernels(path, tier), f"{use} {TIERS[tier]}{left_out}", tier=tier)


def _runs(library: ctypes.CDLL, tier: str) -> bool:
    return bool(getattr(library, _symbol("native_runs", tier))())


def _symbol(name: str, tier: str) -> str:
    return f"{name}_{tier.replace('-', '_')}"


def _not_used(why: str, remedy: str = "") -> Found:
    return Found(None, f"kernels of our own are not used: {why}", remedy)
