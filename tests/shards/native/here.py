"""The kernels on this machine; the CPU is examined apart from the tested code."""

import ctypes
from pathlib import Path

import pytest

from shards.native.library import kernels

NEEDED = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "avx512_vnni"}

_lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
CPU_TAKES_THEM = any(line.startswith("flags") and set(line.split()) >= NEEDED for line in _lines)

needs_kernels = pytest.mark.skipif(
    not CPU_TAKES_THEM, reason="this CPU lacks AVX-512 with BF16 and VNNI"
)
"""Mark of tests of kernels. A missing compiler does not skip them: it fails `test_library`."""


def library() -> ctypes.CDLL:
    """Return the kernels, which exist wherever a test that needs them runs."""
    found = kernels()
    assert found is not None
    return found
