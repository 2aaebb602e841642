"""A gateway killed at any moment of its start leaves no process and no memory behind."""

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.system.running import shared_memory, until_no_more_shared_memory

_ROOT = Path(__file__).parents[2]
_CONFIG = 'port = 0\n[models.fake]\nsource = "fake?load_ms=50"\nengine = "fake"\nreplicas = 2\n'
_MARK = "REPLICAS_OF_AN_ORPHANED_GATEWAY"
_LONGEST_SECONDS = 1.6  # about what a start takes until its shards are ready
_GATEWAYS = 20
_AT_A_TIME = 5


def _marked(mark: str) -> list[int]:
    """Return the processes whose environment, which children inherit, has the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_marked = f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes()
        except OSError:  # gone, or not ours
            continue
        if is_marked:
            found.append(int(folder.name))
    return found


async def _start_and_kill(config: Path, mark: str, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
        env={**os.environ, _MARK: mark},
    )
    await asyncio.sleep(seconds)  # until it is killed
    process.kill()
    process.wait()


@pytest.mark.timeout(400)
async def test_a_gateway_killed_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    config, mark, chance = tmp_path / "gateway.toml", uuid.uuid4().hex, random.Random(45)
    config.write_text(_CONFIG)
    before = shared_memory()
    moments = [chance.uniform(0, _LONGEST_SECONDS) for _ in range(_GATEWAYS)]
    most = 0
    for group in range(0, _GATEWAYS, _AT_A_TIME):
        async with asyncio.TaskGroup() as running:
            for seconds in moments[group : group + _AT_A_TIME]:
                running.create_task(_start_and_kill(config, mark, seconds))
            await asyncio.sleep(0.8)
            most = max(most, len(_marked(mark)))
    end = time.monotonic() + 120
    while _marked(mark) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    assert _marked(mark) == []
    await until_no_more_shared_memory(than=before)
    assert most > 0  # the mark is visible
