"""The memory of machines and control groups, read from files that the tests write."""

from pathlib import Path

import pytest

from gateway.supervision.machine_memory import available_memory, memory_limit, usable_memory

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    _write(tmp_path, "proc/meminfo", f"MemTotal: 9 kB\nMemAvailable:    {8000 * 1024} kB\n")
    return tmp_path


def _write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_limit_it_is_what_is_available(root: Path) -> None:
    assert (available_memory(root), memory_limit(root)) == (8000 * MIB, None)
    assert usable_memory(root) == 8000 * MIB


def test_the_tightest_limit_of_a_group_and_those_above_it_counts(root: Path) -> None:
    _write(root, "proc/self/cgroup", "0::/system.slice/gateway.service\n")
    _write(root, "sys/fs/cgroup/system.slice/gateway.service/memory.max", "max\n")
    _write(root, "sys/fs/cgroup/system.slice/memory.max", f"{500 * MIB}\n")
    assert usable_memory(root) == 500 * MIB


def test_a_limit_of_the_first_version_counts(root: Path) -> None:
    _write(root, "proc/self/cgroup", "4:memory:/docker/1\n")
    file = "sys/fs/cgroup/memory/memory.limit_in_bytes"
    _write(root, file, "9223372036854771712\n")
    assert memory_limit(root) is None, "the largest page count means none"
    _write(root, file, f"{700 * MIB}\n")
    assert usable_memory(root) == 700 * MIB


def test_another_system_has_no_figures(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) is None
