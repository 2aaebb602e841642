"""Out-of-memory kills of the kernel, distinguished from other kills of a shard.

From outside both look the same: SIGKILL. But the kernel counts its out-of-memory kills, for each
control group and for the whole machine. A process that dies by SIGKILL within ten seconds after the
count has risen was one of them; each rise by one explains one such process.

The first of these that exists is read: `memory.events` of our group (cgroup v2),
`memory.oom_control` of our group (v1), the machine's `/proc/vmstat`. Inside a container our group
is the root of the mounted file system, and the path in /proc leads nowhere.
"""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gateway.supervision.machine import groups, read_text

_FRESH_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class OomKills:
    """The kernel's count of its out-of-memory kills, and the shards that it explains."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Find the file with the count.

        Args:
            root: the folder of `proc` and `sys`.
        """
        self._file = next((file for file in _files(root) if _count(file) is not None), None)
        self._seen: deque[tuple[float, int]] = deque()  # time and count; oldest first
        self._claims: deque[float] = deque()

    @property
    def is_known(self) -> bool:
        """True if this machine has such a count."""
        return self._file is not None

    def look(self, now: float) -> None:
        """Read the count, so that a later rise shows. Call it often; it reads once a second."""
        if self._seen and now - self._seen[-1][0] < _LOOK_SECONDS:
            return
        count = self._read()
        if count is None:
            return
        self._seen.append((now, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _FRESH_SECONDS:
            self._seen.popleft()

    def claim(self, now: float) -> bool:
        """Return whether a rise of the count explains a SIGKILL seen now; no later call gets it."""
        count = self._read()
        if count is None or not self._seen:
            return False
        while self._claims and self._claims[0] <= now - _FRESH_SECONDS:
            self._claims.popleft()
        if count - self._seen[0][1] <= len(self._claims):
            return False
        self._claims.append(now)
        return True

    def _read(self) -> int | None:
        return _count(self._file) if self._file else None


def _files(root: Path) -> Iterator[Path]:
    """Yield the files that may hold the count, the most particular first."""
    ours = groups(root)
    mounts = root / "sys/fs/cgroup"
    for base in (mounts, mounts / "unified"):
        yield base / ours.get("", "") / "memory.events"
        yield base / "memory.events"
    yield mounts / "memory" / ours.get("memory", "") / "memory.oom_control"
    yield mounts / "memory/memory.oom_control"
    yield root / "proc/vmstat"


def _count(file: Path) -> int | None:
    found = _COUNT.search(read_text(file))
    return int(found[1]) if found else None
