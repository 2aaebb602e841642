"""The kernels on this machine; the CPU is examined apart from the tested code."""

import ctypes
import os
from pathlib import Path

import pytest

from shards.machine.instructions import AVX512, limit_of
from shards.native.library import find_kernels, kernels

NEEDED = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "avx512_vnni"}

_lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
_flags = {flag for line in _lines if line.startswith("flags") for flag in line.split()}
CPU_HAS_AVX512 = _flags >= NEEDED
CPU_TAKES_THEM = CPU_HAS_AVX512 and limit_of(os.environ) == AVX512
CPU_TAKES_AVX2 = _flags >= {"avx2", "fma"}

needs_kernels = pytest.mark.skipif(
    not CPU_TAKES_THEM, reason="this CPU lacks AVX-512 with BF16 and VNNI"
)
"""Mark of tests of kernels. A missing compiler does not skip them: it fails `test_library`."""

needs_avx2 = pytest.mark.skipif(not CPU_TAKES_AVX2, reason="this CPU lacks AVX2")
"""Mark of tests of the kernels for AVX2, which run on CPUs with AVX-512 as well."""


def avx2_library() -> ctypes.CDLL:
    """Return the kernels for AVX2, whether or not the CPU has better ones."""
    found = find_kernels().library
    assert found is not None
    return found


def library() -> ctypes.CDLL:
    """Return the kernels, which exist wherever a test that needs them runs."""
    found = kernels()
    assert found is not None
    return found
