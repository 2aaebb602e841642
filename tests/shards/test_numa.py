"""The kernel is asked for memory near the cores: really, in a process of the test's own."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = sorted(
    int(one.name.removeprefix("node"))
    for one in Path("/sys/devices/system/node").glob("node[0-9]*")
)

PROGRAM = """
from pathlib import Path
from shards.numa import prefer_memory_of
print(prefer_memory_of({nodes}) or "fine")
print(any("prefer" in line for line in Path("/proc/self/numa_maps").read_text().splitlines()))
"""


def said(nodes: list[int]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(nodes=nodes)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.split("\n")[:2]


needs_nodes = pytest.mark.skipif(
    not HERE or not Path("/proc/self/numa_maps").exists(),
    reason="this kernel was built without memory nodes (CONFIG_NUMA)",
)


@needs_nodes
def test_a_process_prefers_its_nodes() -> None:
    assert said([HERE[0]]) == ["fine", "True"]


@needs_nodes
def test_a_node_that_is_not_there_is_told() -> None:
    (told, _) = said([HERE[-1] + 500])
    assert "set_mempolicy" in told
