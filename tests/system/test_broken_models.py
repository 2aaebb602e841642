"""A model whose files are damaged while it is served is refused, and harms no other."""

import os
from pathlib import Path

from tests import checkpoints
from tests.system.running import Ledger, running

_CONFIG = """
[models.fake]
source = "fake"
engine = "fake"
[models.real]
source = "{folder}"
dtype = "fp32"
devices = ["cpu:0"]
canary = "numeric"
"""
_TEXTS = ["Paris is the capital of France.", "Gravity keeps planets in orbit."]


async def test_weights_that_are_cut_while_they_are_served_are_refused(tmp_path: Path) -> None:
    """The weights are mapped memory, so the shard ends (SIGBUS); the next one refuses them."""
    folder = checkpoints.bert(tmp_path / "bert")
    weights = folder / "model.safetensors"
    async with running(_CONFIG.format(folder=folder), tmp_path) as gateway:
        await gateway.until_ready()
        assert (await gateway.rerank(_TEXTS, model="real"))[0] == 200
        os.truncate(weights, weights.stat().st_size // 2)
        for number in range(2):
            texts = [f"{number}: {text}" for text in _TEXTS]  # their scores are not kept
            status, body, _ = await gateway.rerank(texts, model="real")
            assert (status, body["error"]["code"]) == (503, "model_unavailable")
            assert "model.safetensors" not in body["message"]
        shard = (await gateway.shards())["real/cpu:0"]
        assert "model.safetensors" in shard["last_error"]
        assert (shard["state"], shard["generation"]) == ("failed", 2)  # one try, no loop
        ledger = Ledger(gateway)
        await ledger.send(1)
        ledger.assert_all_right()
