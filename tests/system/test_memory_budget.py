"""Real models over HTTP under a memory budget in which two of five fit: memory, answers, turns."""

import asyncio
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gateway.config.specs import resolve
from tests.system.running import Gateway, running

_BUDGET_MB = 1200
_SOURCES = {
    "small": "embedded",
    "again": "embedded",
    "bert": "embedded:bert",
    "qwen3": "embedded:qwen3",
    "fake": "fake?memory_mb=300&load_memory_mb=200",
}
_CONFIG = f"""
offline = true
score_cache_mb = 0
[memory_budget]
machine_mb = {_BUDGET_MB}
stay_seconds = 0
cool_seconds = 0
patience_seconds = 0
"""


def _models() -> str:
    lines = []
    for name, source in _SOURCES.items():
        engine = "fake" if name == "fake" else "auto"
        lines += [f"[models.{name}]", f'source = "{source}"', f'engine = "{engine}"']
        lines += ['load = "first-use"', "memory_mb = 580", 'canary = "numeric"']
    return _CONFIG + "\n".join(lines)


def _resident(gateway: Gateway) -> int:
    total = 0
    for process in gateway.shard_processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


@pytest.mark.timeout(400)
async def test_five_models_of_which_two_fit_answer_all_and_stay_in_the_budget(
    tmp_path: Path,
) -> None:
    assert Path(resolve("embedded")).is_dir()
    most = 0

    async def watch(gateway: Gateway) -> None:
        nonlocal most
        while True:
            most = max(most, _resident(gateway))
            await asyncio.sleep(0.02)

    async with running(_models(), tmp_path) as gateway:
        watching = asyncio.create_task(watch(gateway))
        for names in (["small", "bert"], ["qwen3", "fake", "again"], ["small", "qwen3"]):
            asked = [gateway.rerank(["a", "b"], model=name) for name in names]
            for status, body, _ in await asyncio.gather(*asked):
                assert status == 200, body
        watching.cancel()
        models = await gateway.models()
    assert most <= _BUDGET_MB << 20
    assert most > 600 << 20, "two of them were loaded at a time"
    assert sum(sum(model["evictions"].values()) for model in models.values()) >= 3
