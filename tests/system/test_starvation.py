"""A shard that gets little of a busy machine is slow, not hung: no restart, no text refused.

A document of 32,000 tokens is scored by a real, small model while competitors hold its shard to
about a twentieth of each core.
"""

import os
from pathlib import Path

import aiohttp
import pytest

from tests import checkpoints
from tests.system.running import busy_cores, running

_CONFIG = """
max_timeout_seconds = 600
[models.m]
source = "{folder}"
engine = "causal"
dtype = "fp32"
max_length = 33000
canary = "numeric"
"""
_SHARD = 18
"""Niceness: the shard gets 5 % of a core beside a competitor (`busy_cores`)."""
_LONG = "word " * 32_000


def _renice(pid: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), _SHARD)


@pytest.mark.timeout(900)
async def test_a_long_document_at_a_twentieth_of_a_core_is_answered(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path / "Qwen3-Reranker-tiny")
    checkpoints.change_config(folder, max_position_embeddings=40960)
    async with running(_CONFIG.format(folder=folder), tmp_path) as gateway:
        (shard,) = (await gateway.until_ready()).values()
        _renice(shard["pid"])
        with busy_cores():
            async with gateway.session.post(
                gateway.url + "/v1/rerank",
                json={"query": "q", "documents": [_LONG]},
                headers={"X-Request-Timeout-Ms": "600000"},
                timeout=aiohttp.ClientTimeout(total=None),
            ) as reply:
                body = await reply.json()
        assert reply.status == 200, body
        assert body["usage"]["total_tokens"] > 32_000
        (after,) = (await gateway.shards()).values()
        assert (after["pid"], after["restarts"], after["state"]) == (shard["pid"], 0, "ready")
        assert (await gateway.models())["m"]["refused_pairs"] == 0
