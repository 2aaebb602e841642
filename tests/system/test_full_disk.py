"""A full disk under the log and under the operator's socket: requests are answered all the same.

The disks are small file systems in memory, which only root may mount.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.operator import model, post
from tests.system.running import running


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small file system; skip the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here ({done.stderr.strip()}): it takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_under_the_log_disturbs_no_request(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        backoff = "[supervision]\nbackoff_first_seconds = 0.05\n"
        environment = {"TMPDIR": str(disk), "XDG_CACHE_HOME": str(disk)}
        async with running(backoff + model("m"), disk, environment=environment) as gateway:
            await gateway.until_ready()
            while shutil.disk_usage(disk).free:
                assert (await gateway.rerank(["a"]))[0] == 200
            assert {(await gateway.rerank(["a"]))[0] for _ in range(50)} == {200}
            (shard,) = (await gateway.shards()).values()
            os.kill(shard["pid"], signal.SIGKILL)
            await gateway.until(lambda shards: shards["m/cpu:0"]["generation"] == 2)
            await gateway.until_ready()
            assert (await post(gateway, "/admin/reload?wait=true")) is not None
            assert (await gateway.rerank(["a"]))[0] == 200
            os.truncate(gateway.log, 0)  # room again
            assert (await gateway.rerank(["a"]))[0] == 200
            assert (await gateway.rerank(["a"]))[0] == 200
            await gateway.until(lambda _: "log lines were dropped" in gateway.log.read_text())
            gateway.process.terminate()
            assert await gateway.wait() == 0


def test_no_room_for_the_operators_socket_is_an_error_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k,nr_inodes=2") as disk:
        (disk / "last").touch()
        (tmp_path / "gateway.toml").write_text(
            f'port = 0\nadmin_socket = "{disk}/admin.sock"\n{model("m")}'
        )
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 69
    assert "admin.sock cannot be made (No space left on device)" in done.stderr
