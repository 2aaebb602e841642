"""Findings about processor, cores, memory and limits, from the files below a root."""

import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor.finding import Finding, bad, good, note
from gateway.supervision.machine import Machine, read_text
from gateway.supervision.machine_memory import available_memory, memory_limit

_GIB = 1 << 30
_LEAST_MEMORY = 2 * _GIB
_LEAST_DESCRIPTORS = 4096
_OLDEST_PYTHON = (3, 11)

FEATURES = {
    "amx_bf16": "bf16 and int8 by AMX",
    "avx512_bf16": "bf16 by AVX-512",
    "avx512_vnni": "int8 by AVX-512 VNNI",
    "avx_vnni": "int8 by AVX-VNNI",
    "avx512f": "fp32 by AVX-512",
    "avx2": "fp32 by AVX2",
}
"""Processor flags that decide the speed, as in /proc/cpuinfo, and the arithmetic they speed up."""

_BF16 = {"amx_bf16", "avx512_bf16"}


def host_findings(root: Path, machine: Machine, descriptors: int) -> Iterator[Finding]:
    """Yield findings about the machine whose `/proc` and `/sys` lie below a root."""
    yield _python()
    yield _processor(root)
    yield _cores(root, machine)
    yield _memory(root)
    yield _descriptors(descriptors)


def _python() -> Finding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _OLDEST_PYTHON:
        return bad("python", found, "Python 3.11 or newer is needed")
    return good("python", found)


def _processor(root: Path) -> Finding:
    text = read_text(root / "proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    name = model[1].strip() if model else platform.processor() or platform.machine()
    known = set(flags[1].split()) if flags else set()
    if not known:
        return note("processor", name, "its features cannot be read here; `auto` measures instead")
    features = [text for flag, text in FEATURES.items() if flag in known]
    found = f"{name}: {', '.join(features) or 'no vector unit of the last ten years'}"
    if known & _BF16:
        return good("processor", found)
    return note(
        "processor",
        f"{found}; no bf16",
        'bf16 would be emulated and slow: leave dtype = "auto", which measures, or use int8',
    )


def _cores(root: Path, machine: Machine) -> Finding:
    cores = sum(map(len, machine.sockets))
    nodes = len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or 1
    found = f"{_count(cores, 'core')} on {_count(len(machine.sockets), 'socket')}, "
    found += _count(nodes, "memory node")
    if not machine.exclusive:
        return note(
            "cores",
            f"{found}; a CPU quota (cgroup cpu.max) applies, so shards are not pinned",
            "whole cores are faster than a quota: a cpuset, or AllowedCPUs= of systemd",
        )
    if cores == 1:
        return note("cores", found, "the gateway and its shards share one core")
    return good("cores", found)


def _memory(root: Path) -> Finding:
    free = available_memory(root)
    if free is None:
        return note("memory", "cannot be read here", "make sure that the models fit")
    limit = memory_limit(root)
    found = f"{free / _GIB:.1f} GiB available"
    if limit is not None:
        found += f", at most {limit / _GIB:.1f} GiB by the cgroup's limit"
    if min(free, limit or free) < _LEAST_MEMORY:
        return note("memory", found, "enough for the embedded models only: a real one needs 2 GiB")
    return good("memory", found)


def _descriptors(number: int) -> Finding:
    found = f"{number} open files"
    if number < _LEAST_DESCRIPTORS:
        return note(
            "limits", found, f"ulimit -n {_LEAST_DESCRIPTORS * 16}, or LimitNOFILE= of systemd"
        )
    return good("limits", found)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
