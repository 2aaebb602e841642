"""The memory of the machine and of our control groups, from the files below a root."""

import re
from pathlib import Path

from gateway.supervision.machine import group_folders, groups, read_text

_UNLIMITED = 1 << 60
"""A limit of cgroup v1 from which on there is none: the kernel writes the largest page count."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory available to programs, if the kernel reports them."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", read_text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the tightest memory limit of this cgroup and those above it, in bytes."""
    limits = [read_text(folder / "memory.max") for folder in group_folders(root)]
    limits += [read_text(folder / "memory.limit_in_bytes") for folder in _legacy_folders(root)]
    known = [int(text) for text in limits if text.isdigit() and int(text) < _UNLIMITED]
    return min(known) if known else None


def usable_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can be had now: what is available, within the limits of cgroups."""
    known = [size for size in (available_memory(root), memory_limit(root)) if size is not None]
    return min(known) if known else None


def _legacy_folders(root: Path) -> tuple[Path, ...]:
    """Return the folders of our memory group (v1), as `group_folders` does for v2."""
    group = root / "sys/fs/cgroup/memory" / groups(root).get("memory", "")
    return (group, *group.parents)
