"""Waiting for a CPU is told from hanging: by the counts of the kernel, for real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.supervision.cpu_wait import CpuWait

_SPIN = "while True: pass"
_SLEEP = "import time; time.sleep(1000)"
needs_schedstat = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel counts no time in run queues"
)


@contextmanager
def _running(code: str, niceness: int = 0) -> Iterator[int]:
    """Run a Python program on the first allowed core while the block runs; yield its pid."""
    core = min(os.sched_getaffinity(0))

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        os.nice(niceness)

    process = subprocess.Popen([sys.executable, "-c", code], preexec_fn=prepare)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _share_waited(pid: int, enough: Callable[[float], bool]) -> float:
    """Return the share of time for which a process waits, once it is enough, or after a minute."""
    wait, started = CpuWait(pid), time.monotonic()
    assert wait.seconds(1.0) == 0.0  # nothing to compare with yet
    waited, last = 0.0, started
    while True:
        time.sleep(0.1)
        now = time.monotonic()
        waited += wait.seconds(now - last)
        last = now
        share = waited / (now - started)
        if now - started > 60 or (now - started > 1 and enough(share)):
            return share


@needs_schedstat
def test_a_process_beside_a_busy_one_waits() -> None:
    with _running(_SPIN), _running(_SPIN, niceness=15) as pid:
        assert _share_waited(pid, lambda share: share > 0.8) > 0.8


@needs_schedstat
def test_a_process_that_sleeps_does_not_wait() -> None:
    with _running(_SLEEP) as pid:
        assert _share_waited(pid, lambda share: share < 0.2) < 0.2


def _files(root: Path, cgroup: str, stats: dict[str, str]) -> None:
    task = root / "proc" / "7" / "task" / "7"
    task.mkdir(parents=True, exist_ok=True)
    (task / "schedstat").write_text("100 100 1")
    (task / "stat").write_text("7 (a b) S 1")
    (root / "proc" / "7" / "cgroup").write_text(cgroup)
    for folder, text in stats.items():
        place = root / "sys" / "fs" / "cgroup" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.stat").write_text(text)


@pytest.mark.parametrize(
    ("cgroup", "folder", "text"),
    [
        ("0::/a/b\n", "a/b", "usage_usec 5\nnr_throttled 3\nthrottled_usec {micros}\n"),
        ("0::/a/b\n", "a", "throttled_usec {micros}\n"),  # a quota of a group around it
        ("4:memory:/x\n3:cpu,cpuacct:/a\n", "cpu,cpuacct/a", "throttled_time {micros}000\n"),
    ],
    ids=["second version", "around", "first version"],
)
def test_a_throttled_group_waits(cgroup: str, folder: str, text: str, tmp_path: Path) -> None:
    _files(tmp_path, cgroup, {folder: text.format(micros=1_000_000)})
    wait = CpuWait(7, tmp_path)
    assert wait.seconds(1.0) == 0.0
    _files(tmp_path, cgroup, {folder: text.format(micros=1_400_000)})
    assert wait.seconds(1.0) == pytest.approx(0.4)
    assert wait.seconds(1.0) == 0.0
    _files(tmp_path, cgroup, {folder: text.format(micros=9_000_000)})
    assert wait.seconds(1.0) == 1.0  # several cores' time counts once


def test_a_runnable_thread_without_any_time_has_waited_all_along(tmp_path: Path) -> None:
    _files(tmp_path, "0::/\n", {})
    wait = CpuWait(7, tmp_path)
    wait.seconds(1.0)
    assert wait.seconds(0.5) == 0.0
    (tmp_path / "proc" / "7" / "task" / "7" / "stat").write_text("7 (a) b) R 1")
    assert wait.seconds(0.5) == 0.5


def test_a_process_that_is_gone_or_a_strange_system_waits_for_nothing(tmp_path: Path) -> None:
    wait = CpuWait(7, tmp_path)
    assert [wait.seconds(1.0), wait.seconds(1.0)] == [0.0, 0.0]
