"""The kernel's count of its out-of-memory kills, and the exits that it explains.

The counts are files of the test, which cannot create a group with a limit. The killed shards are
real.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.config import ModelSpec
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.supervision.lifecycle import RestartPolicy
from gateway.supervision.oom_kills import OomKills
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import ShardStatus
from shards.wire.spec import ShardSpec

_V2 = "low 0\nhigh 0\nmax 7\noom 3\noom_kill {}\noom_group_kill 0\n"
_V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
_VMSTAT = "nr_free_pages 1000\noom_kill {}\npgfault 5\n"

_PLACES = [
    (
        "0::/system.slice/gateway.service\n",
        "sys/fs/cgroup/system.slice/gateway.service/memory.events",
        _V2,
    ),
    ("0::/not/mounted/here\n", "sys/fs/cgroup/memory.events", _V2),
    ("4:memory:/docker/abc\n0::/\n", "sys/fs/cgroup/memory/docker/abc/memory.oom_control", _V1),
    ("4:cpu,memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.oom_control", _V1),
    ("", "proc/vmstat", _VMSTAT),
]


def write(root: Path, place: str, text: str) -> Path:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(("groups", "place", "text"), _PLACES)
def test_the_count_is_found(tmp_path: Path, groups: str, place: str, text: str) -> None:
    write(tmp_path, "proc/self/cgroup", groups)
    file = write(tmp_path, place, text.format(5))
    oom = OomKills(tmp_path)
    oom.look(0.0)
    assert not oom.claim(0.0)
    file.write_text(text.format(6))
    assert oom.claim(0.1)
    assert not oom.claim(0.2)


def test_the_count_of_the_group_comes_before_that_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/")
    write(tmp_path, "sys/fs/cgroup/memory.events", _V2.format(0))
    machine = write(tmp_path, "proc/vmstat", _VMSTAT.format(0))
    oom = OomKills(tmp_path)
    oom.look(0.0)
    machine.write_text(_VMSTAT.format(1))  # of another group
    assert not oom.claim(1.0)


def test_the_count_explains_as_many_exits_as_it_has_risen(tmp_path: Path) -> None:
    file = write(tmp_path, "proc/vmstat", _VMSTAT.format(0))
    oom = OomKills(tmp_path)
    oom.look(0.0)
    file.write_text(_VMSTAT.format(2))
    oom.look(1.0)  # the exit is seen later than the count
    assert [oom.claim(2.0) for _ in range(3)] == [True, True, False]


def test_an_old_rise_explains_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, "proc/vmstat", _VMSTAT.format(0))
    oom = OomKills(tmp_path)
    oom.look(0.0)
    file.write_text(_VMSTAT.format(1))
    for now in range(1, 30):
        oom.look(float(now))
    assert not oom.claim(30.0)


def test_without_a_count_no_exit_is_explained(tmp_path: Path) -> None:
    oom = OomKills(tmp_path)
    oom.look(0.0)
    assert not oom.is_known
    assert not oom.claim(1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="the counts are Linux's")
def test_this_machine_has_a_count() -> None:
    oom = OomKills()
    assert oom.is_known
    oom.look(0.0)
    assert not oom.claim(0.0)


async def _after_a_kill(root: Path, counted: int) -> ShardStatus:
    """Kill a real shard while the count becomes `counted`; return its next generation."""
    file = write(root, "proc/vmstat", _VMSTAT.format(0))
    policy = FleetPolicy(restart=RestartPolicy(first_seconds=0.01), oom=OomKills(root))
    shard = ShardSpec(name="a/cpu:0", model="a", source="fake", engine="fake", token_budget=4096)
    fleet = Fleet(
        [ModelSpec(name="a", aliases=(), default=True, source="fake", shards=(shard,))],
        policy,
        Metrics(),
    )

    def status() -> ShardStatus:
        return fleet.status()[0].shards[0]

    await fleet.start()
    try:
        async with asyncio.timeout(120):
            while status().state != "ready":
                await asyncio.sleep(0.01)
            file.write_text(_VMSTAT.format(counted))
            pid = status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            while (status().generation, status().state) != (2, "ready"):
                await asyncio.sleep(0.01)
        return status()
    finally:
        await fleet.stop()


async def test_a_shard_after_an_out_of_memory_kill_begins_with_smaller_batches(
    tmp_path: Path,
) -> None:
    shard = await _after_a_kill(tmp_path, counted=1)
    assert shard.last_error == "ended by signal SIGKILL by the kernel, out of memory"
    assert shard.oom_kills == 1
    assert "begin with 2048 tokens instead of 4096; fewer replicas" in shard.warnings[0]


async def test_a_shard_after_another_kill_does_not(tmp_path: Path) -> None:
    shard = await _after_a_kill(tmp_path, counted=0)
    assert shard.last_error == "ended by signal SIGKILL"
    assert (shard.oom_kills, shard.warnings) == (0, ())
