"""A shard that fails its canaries does not serve, neither after its start nor later."""

from pathlib import Path

from tests.system.running import Ledger, running

_RANDOM = """
[models.fake]
source = "fake"
engine = "fake"
devices = ["cpu"]
[models.random]
source = "fake?judged=1"
engine = "fake"
devices = ["cpu"]
[models.on-purpose]
source = "fake?judged=1"
engine = "fake"
devices = ["cpu"]
canary = "numeric"
"""
_LIAR = """
[supervision]
canary_batches = 1
[models.m]
source = "fake"
engine = "fake"
devices = ["cpu"]
replicas = 1
"""
_TEXTS = ["Paris is the capital of France.", "Gravity keeps planets in orbit."]


async def test_random_weights_are_not_served_unless_on_purpose(tmp_path: Path) -> None:
    async with running(_RANDOM, tmp_path) as gateway:
        shards = await gateway.until(
            lambda shards: (
                shards["random/cpu:0"]["state"] == "failed"
                and shards["on-purpose/cpu:0"]["state"] == "ready"
            )
        )
        refused, served = shards["random/cpu:0"], shards["on-purpose/cpu:0"]
        assert (refused["generation"], refused["canary"]["passed"]) == (1, False)
        assert "the canary failed: known pairs are in the wrong order" in refused["last_error"]
        assert "--canary numeric" in refused["last_error"]
        assert (served["canary"]["mode"], served["canary"]["passed"]) == ("numeric", True)
        assert "canary = numeric" in served["warnings"][0]

        status, body, _ = await gateway.rerank(_TEXTS, model="random")
        assert (status, body["error"]["code"]) == (503, "model_unavailable")
        assert "the canary failed" not in body["message"]  # the reason is the operator's
        status, body, _ = await gateway.rerank(_TEXTS, model="on-purpose")
        assert status == 200
        assert "canary = numeric" in str(body["meta"]["warnings"])
        assert (await gateway.rerank(_TEXTS, model="fake"))[0] == 200


async def test_a_score_that_is_not_a_number_triggers_the_canaries_at_once(tmp_path: Path) -> None:
    """A sound shard goes on; another one is replaced, long before its next round is due."""
    seldom = _LIAR.replace("canary_batches = 1", "canary_batches = 100000")
    async with running(seldom, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        await gateway.rerank(["<<lie>>"])
        assert (await gateway.shards())["m/cpu:0"]["canary"]["rounds"] == 1
        assert (await gateway.rerank(["<<nan>>"]))[0] == 500
        shards = await gateway.until(
            lambda shards: (
                shards["m/cpu:0"]["generation"] == 2 and shards["m/cpu:0"]["state"] == "ready"
            )
        )
        assert "other scores than when the model was loaded" in shards["m/cpu:0"]["last_error"]
        assert (await gateway.rerank(["<<nan>>"]))[0] == 500
        shards = await gateway.until(lambda shards: shards["m/cpu:0"]["canary"]["rounds"] == 4)
        assert shards["m/cpu:0"]["generation"] == 2


async def test_a_shard_whose_scores_become_wrong_is_replaced(tmp_path: Path) -> None:
    async with running(_LIAR, tmp_path, chaos=True) as gateway:
        before = (await gateway.until_ready())["m/cpu:0"]
        assert (before["generation"], before["canary"]["rounds"]) == (1, 1)
        await gateway.rerank(["<<lie>>"])  # this answer is wrong: the canaries run after it
        shards = await gateway.until(
            lambda shards: (
                shards["m/cpu:0"]["generation"] == 2 and shards["m/cpu:0"]["state"] == "ready"
            )
        )
        shard = shards["m/cpu:0"]
        assert "other scores than when the model was loaded" in shard["last_error"]
        assert (shard["canary"]["passed"], shard["canary"]["failures"]) == (True, 1)
        ledger = Ledger(gateway)
        for number in range(5):
            await ledger.send(number)
        ledger.assert_all_right()
        assert await gateway.metric("reranker_canaries_total") >= 3
        assert await gateway.metric("reranker_documents_total") == 16  # canaries do not count
        assert b'"a canary failed: ' in gateway.log.read_bytes()
