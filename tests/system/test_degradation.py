"""Real shards that grow, lose their device, or get many poisons: the effect on other requests."""

import asyncio
from pathlib import Path
from typing import Any

from tests.gateway.http.keys.making import bearer, write_keys
from tests.system.running import Ledger, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
{supervision}
[models.fake]
source = "fake?delay_ms=2"
engine = "fake"
replicas = {replicas}
"""


def config(replicas: int, *model: str, supervision: str = "") -> str:
    return _CONFIG.format(replicas=replicas, supervision=supervision) + "\n".join(model) + "\n"


async def test_a_shard_that_has_grown_is_replaced_without_a_failed_request(tmp_path: Path) -> None:
    async with running(config(2, "max_shard_memory_mb = 120"), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=8):
            assert (await gateway.rerank(["<<leak 200>>"]))[0] == 200
            shards = await gateway.until(
                lambda shards: sorted(shard["recycles"] for shard in shards.values()) == [0, 1]
            )
            shards = await gateway.until_ready()
        ledger.assert_all_right()
        assert sum(shard["restarts"] for shard in shards.values()) == 0
        assert {shard["last_error"] for shard in shards.values()} == {""}
        assert all(shard["memory_bytes"] < 120 << 20 for shard in shards.values())
        assert await gateway.metric("reranker_shard_recycles_total") == 1


async def test_requests_wait_while_the_only_shard_is_replaced(tmp_path: Path) -> None:
    async with running(config(1, "max_shard_memory_mb = 120"), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            assert (await gateway.rerank(["<<leak 200>>"]))[0] == 200
            await gateway.until(lambda shards: shards["fake/cpu:0"]["generation"] == 2)
            await gateway.until_ready()
        ledger.assert_all_right()


async def test_a_limit_below_the_size_of_the_model_warns_and_has_no_effect(tmp_path: Path) -> None:
    async with running(config(1, "max_shard_memory_mb = 1"), tmp_path, chaos=True) as gateway:
        shard = (await gateway.until_ready())["fake/cpu:0"]
        assert "max_shard_memory_mb 1 is too low for this model" in shard["warnings"][0]
        await gateway.rerank(["<<leak 5>>"])
        await asyncio.sleep(1.5)  # longer than the interval of memory checks
        shard = (await gateway.shards())["fake/cpu:0"]
        assert (shard["generation"], shard["recycles"]) == (1, 0)


async def test_a_gpu_that_fails_again_and_again_is_left_for_the_cpu(tmp_path: Path) -> None:
    """The fake engine accepts any device name."""
    gpu = config(
        1, 'devices = ["cuda:0"]', 'dtype = "fp16"', supervision="cpu_after_gpu_failures = 2"
    )
    async with running(gpu, tmp_path, chaos=True) as gateway:
        shard = (await gateway.until_ready())["fake/cuda:0"]
        assert shard["device"] == "cuda:0"
        for number in range(2):  # each pair alone is scored: the pairs are not at fault
            texts = [f"<<crowd 70>> {number}", f"beside it {number}"]
            assert (await gateway.rerank(texts))[0] == 200
        shard = (await gateway.until_ready())["fake/cuda:0"]
        assert (shard["device"], shard["demoted"], shard["restarts"]) == ("cpu", True, 2)
        assert "cuda:0 failed too often" in shard["warnings"][0]
        assert await gateway.metric("reranker_shard_demoted") == 1
        ledger = Ledger(gateway)
        await ledger.send(1)
        ledger.assert_all_right()


async def test_poison_is_not_held_against_the_gpu(tmp_path: Path) -> None:
    gpu = config(1, 'devices = ["cuda:0"]', supervision="cpu_after_gpu_failures = 2")
    async with running(gpu, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        for number in range(3):
            assert (await gateway.rerank([f"<<cuda>> {number}"]))[0] == 400
        shard = (await gateway.until_ready())["fake/cuda:0"]
        assert (shard["device"], shard["demoted"]) == ("cuda:0", False)


async def test_a_poison_that_is_always_different_does_not_take_the_model_away(
    tmp_path: Path,
) -> None:
    """There is one replica, and two crashes that count would be enough to give it up."""
    once = config(1, supervision="crash_limit = 1")
    async with running(once, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            for number in range(5):
                poison = f"please divide all of this by zero <<exit 3>> {number}"
                status, body, _ = await gateway.rerank([poison], timeout_seconds=240)
                assert (status, body["error"]["code"]) == (400, "quarantined"), body
        ledger.assert_all_right()
        shard = (await gateway.until_ready())["fake/cpu:0"]
        # The fourth and the fifth resemble the first three, so each costs one shard.
        assert shard["restarts"] == 3 * 2 + 2 * 1
        assert (await gateway.models())["fake"]["refused_pairs"] == 5
        assert await gateway.metric("reranker_model_refused_pairs") == 5


async def test_a_key_that_sends_different_poisons_is_isolated_without_effect_on_other_keys(
    tmp_path: Path,
) -> None:
    """The texts have nothing in common: the first three cost two shards each, the others one."""
    secrets = write_keys(tmp_path / "keys.toml", careless={}, other={"admin": True})
    keys = 'keys_file = "keys.toml"\n' + config(2)
    async with running(keys, tmp_path, chaos=True) as gateway:
        gateway.session.headers.update(bearer(secrets["other"]))
        await gateway.until_ready()
        ledger = Ledger(gateway)

        async def careless(*documents: str) -> tuple[int, Any]:
            body = {"query": "which?", "documents": documents}
            headers = bearer(secrets["careless"]) | {"X-Request-Timeout-Ms": "240000"}
            url = f"{gateway.url}/v1/rerank"
            async with gateway.session.post(url, json=body, headers=headers) as reply:
                return reply.status, await reply.json()

        async with ledger.load(clients=4):
            for number in range(5):
                words = " ".join(f"{word}of{number}" for word in range(40))
                status, body = await careless("fine", f"{words} <<exit 3>> {words}")
                assert (status, body["error"]["code"]) == (400, "quarantined"), body
            status, body = await careless("fine", "this, too")
            assert status == 200
            assert any("have ended shards" in text for text in body["meta"]["warnings"]), body
        ledger.assert_all_right()
        shards = await gateway.until_ready()
        assert sum(shard["restarts"] for shard in shards.values()) == 3 * 2 + 2 * 1
        assert (await gateway.models())["fake"]["confined_keys"] == ["careless"]
        assert await gateway.metric("reranker_model_confined_keys") == 1
