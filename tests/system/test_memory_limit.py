"""A control group with a limit of memory, in which the kernel ends a shard.

The group, its limit and the kill are the kernel's own. The test needs a group that it may write.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.operator import model
from tests.system.running import running

_MOUNT = Path("/sys/fs/cgroup")
_LIMITS = {_MOUNT / "memory": "memory.limit_in_bytes", _MOUNT: "memory.max"}
"""The folder in which a group is made, and the file of its limit: cgroup v1, then v2."""

_LIMIT_BYTES = 400 << 20
_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a group with a limit; skip the test where none can be made."""
    folder = next(filter(None, map(_made, _LIMITS)), None)
    if folder is None:
        pytest.skip("no control group with a limit of memory can be made: it takes root")
    yield folder
    inside = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    psutil.wait_procs([psutil.Process(pid) for pid in inside if psutil.pid_exists(pid)], timeout=60)
    folder.rmdir()


def _made(mount: Path) -> Path | None:
    """Return a new group with a limit; `None` if it cannot be made here."""
    folder = mount / f"rerank-gateway-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        (folder / _LIMITS[mount]).write_text(str(_LIMIT_BYTES))
    except OSError:
        folder.rmdir()
        return None
    return folder


@pytest.mark.timeout(400)
async def test_a_shard_that_the_kernel_ends_for_memory_is_named_as_such(
    tmp_path: Path, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **more: real(*args, **more, preexec_fn=join)
    )
    async with running(_CONFIG + model("m", replicas="2"), tmp_path, chaos=True) as gateway:
        monkeypatch.undo()
        await gateway.until_ready()
        status, body, _ = await gateway.rerank(["innocent", "a <<leak 800>>"])
        assert (status, body["error"]["code"]) == (400, "quarantined"), body
        assert (await gateway.rerank(["innocent"]))[0] == 200
        shards = await gateway.until_ready()
        killed = [shard for shard in shards.values() if shard["oom_kills"]]
        assert sum(shard["oom_kills"] for shard in killed) >= 2  # of one shard, or of both
        for shard in killed:
            assert "out of memory" in shard["last_error"]
            assert shard["oom_kills"] == shard["restarts"]
            assert re.search(r"begin with \d+ tokens instead of 16384", shard["warnings"][0])
        assert gateway.process.poll() is None
        processes = gateway.shard_processes
        gateway.process.terminate()
        assert await gateway.wait() == 0
        psutil.wait_procs(processes, timeout=60)
