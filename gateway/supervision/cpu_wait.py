"""Time in which a shard wanted a CPU and had none, as the kernel counts it.

On a busy machine, or under a CPU quota, a healthy shard makes no progress for seconds. That time
is no sign of a hang, so hang detection leaves it out. The kernel has two counts: the time of each
thread in a run queue (`/proc/PID/task/TID/schedstat`), and the time for which a quota throttled
the control group (`cpu.stat`; a throttled thread is in no run queue). Both lag: a wait counts when
it ends. So a thread that is runnable now, and has neither run nor waited since the last look, has
waited all the time.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

_THROTTLED = re.compile(r"^throttled_(?:(usec)|time) (\d+)$", re.MULTILINE)


class CpuWait:
    """The waits of one process for a CPU."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._process = root / "proc" / str(pid)
        self._cgroups = root / "sys" / "fs" / "cgroup"
        self._threads: dict[str, tuple[int, int]] = {}  # ns on a CPU and in a run queue, by id
        self._throttled: dict[Path, float] = {}  # seconds, by file

    def seconds(self, gap: float) -> float:
        """Return the time in the last `gap` seconds for which the process waited for a CPU.

        The thread that waited longest counts. 0 at the first call, and where it is unknown.
        """
        return min(gap, max(self._in_run_queues(gap), self._under_quotas()))

    def _in_run_queues(self, gap: float) -> float:
        before, self._threads = self._threads, dict(self._read_threads())
        longest = 0.0
        for thread, now in self._threads.items():
            if thread not in before:
                continue
            if now == before[thread]:
                longest = max(longest, gap if self._is_runnable(thread) else 0.0)
            else:
                longest = max(longest, (now[1] - before[thread][1]) / 1e9)
        return longest

    def _read_threads(self) -> Iterator[tuple[str, tuple[int, int]]]:
        with contextlib.suppress(OSError, ValueError):
            for thread in (self._process / "task").iterdir():
                running, waiting, _ = (thread / "schedstat").read_text().split()
                yield thread.name, (int(running), int(waiting))

    def _is_runnable(self, thread: str) -> bool:
        with contextlib.suppress(OSError):
            stat = (self._process / "task" / thread / "stat").read_bytes()
            return stat.rpartition(b") ")[2].startswith(b"R")
        return False

    def _under_quotas(self) -> float:
        before, self._throttled = self._throttled, dict(self._read_quotas())
        deltas = [now - before[file] for file, now in self._throttled.items() if file in before]
        return max(deltas, default=0.0)

    def _read_quotas(self) -> Iterator[tuple[Path, float]]:
        """Yield the throttled seconds of the control group and of those around it."""
        for folder in self._cgroup_folders():
            with contextlib.suppress(OSError):
                if found := _THROTTLED.search((folder / "cpu.stat").read_text()):
                    yield folder, int(found[2]) / (1e6 if found[1] else 1e9)

    def _cgroup_folders(self) -> Iterator[Path]:
        """Yield the folders of the CPU controller for this process, of either hierarchy."""
        with contextlib.suppress(OSError):
            for line in (self._process / "cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if controllers and "cpu" not in controllers.split(","):
                    continue
                top = self._cgroups / controllers if controllers else self._cgroups
                folder = top / path.strip("/")
                yield from (
                    place for place in (folder, *folder.parents) if place.is_relative_to(top)
                )
