"""A split in a real gateway: reloads change it without touching shards; models may be away."""

from collections import Counter
from pathlib import Path

from tests.system.operator import command, model, pids, reload
from tests.system.running import Gateway, running

MODELS = model("dity", aliases='["old"]') + model("qwen3")


def split(dity: int, qwen3: int) -> str:
    return f"{MODELS}[splits.search]\nmodels = {{ dity = {dity}, qwen3 = {qwen3} }}\n"


async def scored(gateway: Gateway) -> list[str]:
    """Return the model that scores each of thirty queries."""
    asked = [await gateway.rerank(["a"], query=f"q{n}", model="search") for n in range(30)]
    assert {status for status, _, _ in asked} == {200}
    return [body["model"] for _, body, _ in asked]


async def test_weights_change_by_reload_and_no_shard_is_touched(tmp_path: Path) -> None:
    async with running(split(50, 50), tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        half = await scored(gateway)
        assert set(half) == {"dity", "qwen3"}
        assert (await reload(gateway, tmp_path, split(80, 20)))[0] == 0
        fewer = await scored(gateway)
        moved = {pair for pair in zip(half, fewer, strict=True) if pair[0] != pair[1]}
        assert moved == {("qwen3", "dity")}
        assert (await reload(gateway, tmp_path, split(0, 100)))[0] == 0
        assert set(await scored(gateway)) == {"qwen3"}
        code, output = await reload(
            gateway, tmp_path, MODELS + "[splits.old]\nmodels = { x = 1 }\n"
        )
        assert code == 1
        assert "splits.old" in output
        assert set(await scored(gateway)) == {"qwen3"}
        assert (await reload(gateway, tmp_path, MODELS, "--remove"))[0] == 0
        assert (await gateway.rerank(["a"], model="search"))[0] == 404
        assert pids(await gateway.shards()) == before


async def test_while_a_model_is_away_the_others_answer_with_a_warning(tmp_path: Path) -> None:
    async with running(split(50, 50), tmp_path) as gateway:
        await gateway.until_ready()
        before = await scored(gateway)
        assert (await command(gateway, "drain", "qwen3"))[0] == 0
        assert Counter(await scored(gateway)) == {"dity": 30}
        query = f"q{before.index('qwen3')}"
        _, _, headers = await gateway.rerank(["a"], query=query, model="search")
        assert headers["x-gateway-warning"] == (
            "'search' is a split here: 'dity' scored, because 'qwen3' does not score now"
        )
        assert (await command(gateway, "reload", "qwen3"))[0] == 0
        assert await scored(gateway) == before
