"""Replicas of a model never serve different files: a replaced folder is served after a reload.

With `REPLACE_ROUNDS=20` the folder is replaced and a replica killed twenty times instead of twice,
with 1,000 requests in all.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.system.operator import command
from tests.system.running import Gateway, running

_CONFIG = """
score_cache_mb = 0
[supervision]
backoff_first_seconds = 0.05
[models.m]
source = "{folder}"
engine = "classifier"
dtype = "fp32"
canary = "numeric"
replicas = 2
"""
_QUESTIONS = 60
_ROUNDS = int(os.environ.get("REPLACE_ROUNDS", "2"))
_QUESTIONS_OF_A_ROUND = 50
_DOCUMENTS = ["a planet", "the capital of a country", "fresh bread"]


def _write(folder: Path, shift: float) -> Path:
    """Write a cross-encoder whose margins are moved by `shift`."""
    checkpoints.bert(folder)
    weights = folder / "model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    tensors["classifier.bias"] = tensors["classifier.bias"] + shift
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder


def _replace(served: Path, other: Path) -> None:
    """Replace a folder by rename, as deployments do."""
    served.rename(served.with_name("old"))
    other.rename(served)


async def _answers(gateway: Gateway, questions: int = _QUESTIONS) -> set[tuple[float, ...]]:
    """Send one request many times; return the different scores."""
    seen = set()
    for _ in range(questions):
        status, body, _ = await gateway.rerank(_DOCUMENTS, raw_scores=True)
        assert status == 200, body
        by_index = {result["index"]: result["relevance_score"] for result in body["results"]}
        seen.add(tuple(round(by_index[index], 4) for index in sorted(by_index)))
    return seen


async def _shard(gateway: Gateway, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.shards())[name]
    return found


async def _until_failed(gateway: Gateway, name: str) -> None:
    await gateway.until(lambda found: found[name]["state"] == "failed")


@pytest.mark.timeout(400)
async def test_a_replaced_folder_is_not_served_beside_the_old_one(tmp_path: Path) -> None:
    served, other = _write(tmp_path / "served", 0.0), _write(tmp_path / "other", 3.0)
    async with running(_CONFIG.format(folder=served), tmp_path) as gateway:
        shards = await gateway.until_ready()
        before = await _answers(gateway)
        assert len(before) == 1
        first, second = sorted(shards)
        _replace(served, other)
        os.kill(shards[first]["pid"], signal.SIGKILL)
        await gateway.until(lambda found: found[first]["state"] == "failed")
        assert await _answers(gateway) == before
        failed = await _shard(gateway, first)
        assert "its files are not those that this revision" in failed["last_error"]
        assert (await _shard(gateway, second))["state"] == "ready"
        assert (await gateway.models())["m"]["state"] == "degraded"
        code, output = await command(gateway, "reload", "m")
        assert code == 0, output
        await gateway.until_ready()
        after = await _answers(gateway)
        assert len(after) == 1
        assert after != before
        shutil.rmtree(tmp_path / "old")


@pytest.mark.timeout(400)
async def test_equal_files_in_another_folder_are_served_again(tmp_path: Path) -> None:
    """A rename alone, or a new copy of the same files, changes nothing."""
    served = _write(tmp_path / "served", 0.0)
    shutil.copytree(served, tmp_path / "copy")
    async with running(_CONFIG.format(folder=served), tmp_path) as gateway:
        shards = await gateway.until_ready()
        _replace(served, tmp_path / "copy")
        first = min(shards)
        os.kill(shards[first]["pid"], signal.SIGKILL)
        await gateway.until(lambda found: found[first]["generation"] == 2)
        await gateway.until_ready()
        assert len(await _answers(gateway)) == 1


@pytest.mark.timeout(300 + 100 * _ROUNDS)
async def test_no_round_of_replace_and_kill_mixes_files(tmp_path: Path) -> None:
    """Requests are sent from the kill on, and until the end of the reload that follows."""
    shifts = (0.0, 3.0)
    served = _write(tmp_path / "served", shifts[0])
    async with running(_CONFIG.format(folder=served), tmp_path) as gateway:
        await gateway.until_ready()
        before = await _answers(gateway)
        for turn in range(1, _ROUNDS + 1):
            _replace(served, _write(tmp_path / "other", shifts[turn % 2]))
            first, second = sorted(await gateway.shards())
            victim = (first, second)[turn % 2]
            os.kill((await _shard(gateway, victim))["pid"], signal.SIGKILL)
            answers = await _answers(gateway, _QUESTIONS_OF_A_ROUND)
            assert answers == before, f"round {turn}: {answers} instead of {before}"
            await _until_failed(gateway, victim)
            assert await _answers(gateway, 5) == before
            code, output = await command(gateway, "reload", "m", seconds=180)
            assert code == 0, output
            await gateway.until_ready()
            after = await _answers(gateway, 5)
            assert len(after) == 1
            assert after != before
            before = after
            shutil.rmtree(tmp_path / "old")
