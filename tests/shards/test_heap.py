"""Freed memory is used again while something loads, and goes back to the system after that."""

import subprocess
import sys

import pytest

_SAID = """
import resource
from contextlib import nullcontext
import numpy as np
from shards.heap import keeping_freed_memory

def faults(how):
    with how:
        np.ones(40_000_000, dtype=np.uint8)  # more than the library keeps by itself
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            np.ones(40_000_000, dtype=np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

faults(nullcontext())
start = resident()
print(faults(keeping_freed_memory()), faults(nullcontext()), resident() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_freed_memory_is_used_again_and_given_back_in_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", _SAID], capture_output=True, text=True, check=True)
    kept, usual, grown = map(int, done.stdout.split())
    if not usual:
        pytest.skip("this C library keeps it anyway")
    assert kept < usual / 4
    assert grown < 20_000_000
