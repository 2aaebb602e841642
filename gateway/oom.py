"""Whether the kernel ended a process because memory ran out, or somebody else did.

Both look the same from outside: SIGKILL. But the kernel counts what it ends for want of memory, for
each control group and for the whole machine. Whoever dies by SIGKILL within ten seconds after the
count has risen was one of those, as many as it has risen by.

Read is, whichever there is first: `memory.events` of our group (cgroup v2), `memory.oom_control` of
our group (v1), the machine's `/proc/vmstat`. Inside a container our group is the root of what is
mounted, and the path that /proc tells leads nowhere.
"""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gateway.hostfiles import groups, read_text

_FRESH_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class OomKills:
    """The kernel's count of processes that it ended for want of memory."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Find the count.

        Args:
            root: where `proc` and `sys` lie.
        """
        self._file = next((file for file in _files(root) if _count(file) is not None), None)
        self._seen: deque[tuple[float, int]] = deque()  # when, and what it was; oldest first
        self._claims: deque[float] = deque()

    @property
    def is_known(self) -> bool:
        """Whether this machine tells at all."""
        return self._file is not None

    def look(self, now: float) -> None:
        """Note what the count is, so that a rise can be told from what was before; often."""
        if self._seen and now - self._seen[-1][0] < _LOOK_SECONDS:
            return
        count = self._read()
        if count is None:
            return
        self._seen.append((now, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _FRESH_SECONDS:
            self._seen.popleft()

    def took_one(self, now: float) -> bool:
        """Whether a process that has just ended by SIGKILL was ended for want of memory."""
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
    """Yield where the count may be, the most particular first."""
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
