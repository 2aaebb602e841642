"""Freed memory and memory nodes, each in a process of the test's own."""

import subprocess
import sys
from pathlib import Path

import pytest

_HEAP_PROGRAM = """
import resource
from contextlib import nullcontext
import numpy as np
from shards.machine.process import keeping_freed_memory

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

_NODES_PROGRAM = """
from pathlib import Path
from shards.machine.process import prefer_memory_of
print(prefer_memory_of({nodes}) or "fine")
print(any("prefer" in line for line in Path("/proc/self/numa_maps").read_text().splitlines()))
"""

_NODES = sorted(
    int(folder.name.removeprefix("node"))
    for folder in Path("/sys/devices/system/node").glob("node[0-9]*")
)

needs_nodes = pytest.mark.skipif(
    not _NODES or not Path("/proc/self/numa_maps").exists(),
    reason="this kernel was built without memory nodes (CONFIG_NUMA)",
)


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_freed_memory_is_used_again_and_given_back_in_the_end() -> None:
    kept, usual, grown = map(int, output_of(_HEAP_PROGRAM).split())
    if not usual:
        pytest.skip("this C library keeps it anyway")
    assert kept < usual / 4
    assert grown < 20_000_000


@needs_nodes
def test_a_process_prefers_its_nodes() -> None:
    assert preferring([_NODES[0]]) == ["fine", "True"]


@needs_nodes
def test_an_absent_node_is_reported() -> None:
    (problem, _) = preferring([_NODES[-1] + 500])
    assert "set_mempolicy" in problem


def preferring(nodes: list[int]) -> list[str]:
    """Return the problem, or `fine`, and whether the kernel has a preference then."""
    return output_of(_NODES_PROGRAM.format(nodes=nodes)).split("\n")[:2]


def output_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout
