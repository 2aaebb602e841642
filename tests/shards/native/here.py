"""The kernels on this machine; the CPU is examined apart from the tested code."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from shards.machine.instructions import (
    AMX,
    AVX2,
    AVX2_VNNI,
    AVX512,
    AVX512_VNNI,
    TIERS,
    WIDE,
    limit_of,
    lower,
)
from shards.native.library import avx2_kernels, found_kernels, kernels, limited_to

_AVX2 = {"avx2", "fma"}
_AVX512_VNNI = _AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}
_AVX512 = _AVX512_VNNI | {"avx512_bf16"}
NEEDED = {
    AMX: _AVX512 | {"amx_tile", "amx_int8", "amx_bf16"},
    AVX512: _AVX512,
    AVX512_VNNI: _AVX512_VNNI,
    AVX2_VNNI: _AVX2 | {"avx_vnni"},
    AVX2: _AVX2,
}

_lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
_flags = {flag for line in _lines if line.startswith("flags") for flag in line.split()}
TIERS_HERE = [
    tier for tier in TIERS if _flags >= NEEDED[tier] and lower(tier, limit_of(os.environ)) == tier
]
"""The tiers that tests may use, the best first. A missing compiler fails `test_library`."""


def each(tiers: Iterable[str]) -> list[Any]:
    """Return these tiers as parameters; those that this CPU lacks are skipped."""
    return [
        pytest.param(
            tier, marks=pytest.mark.skipif(tier not in TIERS_HERE, reason=f"no {TIERS[tier]} here")
        )
        for tier in tiers
    ]


wide_tiers = each(tier for tier in TIERS if tier in WIDE)
"""The tiers with kernels for all steps of a model."""

narrow_tiers = each(tier for tier in TIERS if tier not in WIDE)
"""The tiers with kernels for int8 alone."""

every_limit = [*wide_tiers, ""]
"""These tiers, and no kernels at all, for `limited_to`."""

needs_kernels = pytest.mark.usefixtures("tier")
"""Mark of tests of kernels, which run once in each of `wide_tiers`."""

needs_avx2 = pytest.mark.usefixtures("narrow_tier")
"""Mark of tests of the kernels for CPUs without AVX-512, which run in each of `narrow_tiers`."""


def avx2_library() -> ctypes.CDLL:
    """Return these kernels, whether or not the CPU has better ones."""
    found = avx2_kernels()
    assert found is not None
    return found


def library(tier: str = "") -> ctypes.CDLL:
    """Return the kernels of a tier, or those in use, which exist wherever a test needs them."""
    if not tier:
        found = kernels()
    else:
        with limited_to(tier):
            found = found_kernels().library
    assert found is not None
    return found
