"""Findings about machines whose files are made here."""

from pathlib import Path

import pytest

from gateway.cli.doctor.finding import Finding, State
from gateway.cli.doctor.host import host_findings
from gateway.supervision.machine import Machine
from gateway.supervision.machine_memory import available_memory, memory_limit

TWO_CORES = Machine(sockets=((0, 1),))


def machine_files(root: Path, *, flags: str = "avx2", kib: int = 8 << 20) -> Path:
    """Write the files of a machine below a root."""
    proc = root / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu {flags}\n")
    (proc / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {kib} kB\n")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    group = root / "sys" / "fs" / "cgroup" / "a" / "b"
    group.mkdir(parents=True)
    (root / "sys/devices/system/node/node0").mkdir(parents=True)
    return root


def findings(root: Path, machine: Machine = TWO_CORES, files: int = 65536) -> dict[str, Finding]:
    return {finding.name: finding for finding in host_findings(root, machine, files)}


def test_a_good_machine_has_no_remedies(tmp_path: Path) -> None:
    found = findings(machine_files(tmp_path, flags="avx2 avx512f avx512_bf16"))
    assert {finding.state for finding in found.values()} == {State.GOOD}
    assert "bf16 by AVX-512" in found["processor"].found
    assert found["cores"].found == "2 cores on 1 socket, 1 memory node"


def test_a_processor_without_bf16_is_noted(tmp_path: Path) -> None:
    found = findings(machine_files(tmp_path))["processor"]
    assert found.state is State.NOTE
    assert "no bf16" in found.found
    assert "auto" in found.remedy


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Machine(sockets=((0,),)), "share one core"),
        (Machine(sockets=((0, 1),), exclusive=False), "cpuset"),
    ],
)
def test_few_or_shared_cores_are_noted(tmp_path: Path, machine: Machine, words: str) -> None:
    found = findings(machine_files(tmp_path), machine)["cores"]
    assert found.state is State.NOTE
    assert words in found.remedy


def test_little_memory_and_few_descriptors_are_noted(tmp_path: Path) -> None:
    found = findings(machine_files(tmp_path, kib=1 << 20), files=1024)
    assert found["memory"].state is found["limits"].state is State.NOTE
    assert "ulimit -n" in found["limits"].remedy


def test_the_tightest_limit_of_all_groups_counts(tmp_path: Path) -> None:
    root = machine_files(tmp_path)
    assert memory_limit(root) is None
    groups = root / "sys/fs/cgroup"
    (groups / "a" / "b" / "memory.max").write_text("max\n")
    (groups / "a" / "memory.max").write_text(f"{1 << 30}\n")
    assert memory_limit(root) == 1 << 30
    assert available_memory(root) == 8 << 30
    assert findings(root)["memory"].state is State.NOTE


def test_a_machine_without_readable_files_is_no_error(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert found["processor"].state is found["memory"].state is State.NOTE
