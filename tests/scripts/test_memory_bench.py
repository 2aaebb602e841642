"""A gateway with a real model does not grow: a short run of `scripts/bench-memory`."""

from pathlib import Path

import pytest

from gateway.cli.bench.workloads import requests
from scripts.memory_bench import memory_of, processes_of, slope, soak
from tests import checkpoints
from tests.system.running import running

_REQUESTS = 600
_MOST_MB = 6.0  # from the third quarter to the last: 40 KB a request; measured is less than 1
_CONFIG = """
offline = true
[models.m]
source = "{source}"
dtype = "fp32"
threads = 1
canary = "numeric"
prefix_cache_mb = 1
"""


def test_the_slope_is_that_of_the_nearest_line() -> None:
    assert slope([(0, 1.0), (1, 3.0), (2, 5.0)]) == pytest.approx(2.0)
    assert slope([(0, 1.0), (1, 0.0), (2, 1.0)]) == pytest.approx(0.0)
    assert slope([(3, 1.0)]) == 0.0


@pytest.mark.timeout(400)
async def test_memory_does_not_grow_with_requests(tmp_path: Path) -> None:
    model = checkpoints.qwen3(tmp_path / "m")
    async with running(_CONFIG.format(source=model), tmp_path) as gateway:
        await gateway.until_ready()
        growth = await soak(gateway, requests("short3", seed=1), _REQUESTS)
        memory = memory_of(processes_of(gateway))
    assert growth.after - growth.before < _MOST_MB, growth
    assert memory.peak >= memory.resident >= memory.anonymous > 0
