"""Requests that end shards, and shards that hang: found, bounded, harmless to other requests."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.system.running import Gateway, Ledger, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
crash_limit = 100
[models.fake]
source = "fake?delay_ms=2"
engine = "fake"
replicas = {replicas}
"""
_CRASHES = ["segv", "abort", "exit 71", "cuda"]
_LONG = "word " * 30_000  # long texts have their own tokenizer


async def _restarts(gateway: Gateway) -> int:
    """Count the restarts once all shards are back."""
    shards = await gateway.until_ready()
    return sum(shard["restarts"] for shard in shards.values())


def _assert_quarantined(reply: tuple[int, Any, Any], index: int) -> None:
    status, body, _ = reply
    assert (status, body["error"]["code"]) == (400, "quarantined"), body
    assert body["error"]["param"] == f"documents[{index}]"


@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_poison_costs_two_shards_and_no_innocent_fails(
    tmp_path: Path, replicas: int
) -> None:
    config = _CONFIG.format(replicas=replicas)
    async with running(config, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=8):
            for number, crash in enumerate(_CRASHES):
                await ledger.until_answered(50 * (number + 1))
                poison = ["fine", f"a <<{crash}>> document", "fine, too"]
                _assert_quarantined(await gateway.rerank(poison), index=1)
            await ledger.until_answered(400)
        ledger.assert_all_right()
        assert await _restarts(gateway) == 2 * len(_CRASHES) - 1  # the fourth is like the others


async def test_a_known_poison_is_refused_at_once(tmp_path: Path) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        _assert_quarantined(await gateway.rerank(["a <<segv>> document"]), index=0)
        assert await _restarts(gateway) == 2
        for _ in range(100):
            reply = await gateway.rerank(["another", "and another", "a <<segv>> document"])
            _assert_quarantined(reply, index=2)
        assert await _restarts(gateway) == 2
        ledger = Ledger(gateway)
        await ledger.send(1)
        ledger.assert_all_right()


@pytest.mark.parametrize("replicas", [1, 2])
async def test_copies_of_a_poison_that_come_at_once_cost_no_more_than_one(
    tmp_path: Path, replicas: int
) -> None:
    """Only a replica that already had a copy on its device is lost too."""
    async with running(_CONFIG.format(replicas=replicas), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            await ledger.until_answered(20)
            copies = [gateway.rerank([f"of {copy}", "a <<exit 3>>"]) for copy in range(20)]
            for reply in await asyncio.gather(*copies):
                _assert_quarantined(reply, index=1)
        ledger.assert_all_right()
        assert 2 <= await _restarts(gateway) <= 1 + replicas


async def test_an_innocent_that_shares_its_text_with_a_suspect_is_answered(
    tmp_path: Path,
) -> None:
    """The neighbours of a poison are suspects for a moment, and so are equal texts of others."""
    async with running(_CONFIG.format(replicas=2), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        same = ["popular", "popular, too", "document 0 of request 7"]
        poison = asyncio.create_task(gateway.rerank([*same, "a <<exit 3>>"]))
        replies = [asyncio.create_task(gateway.rerank(same)) for _ in range(50)]
        _assert_quarantined(await poison, index=3)
        assert {(await reply)[0] for reply in replies} == {200}
        assert await _restarts(gateway) == 2


async def test_a_poison_of_the_tokenizer_is_found_while_the_device_is_busy(tmp_path: Path) -> None:
    """A shard dies with one job on its device and another in its tokenizer: both are suspects."""
    config = _CONFIG.format(replicas=1).replace("delay_ms=2", "delay_ms=2500")
    async with running(config, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        innocent = asyncio.create_task(ledger.send(1))
        await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] == 1)
        _assert_quarantined(await gateway.rerank(["a", "<<choke>>"]), index=1)
        await innocent
        ledger.assert_all_right()
        assert await _restarts(gateway) == 2


@pytest.mark.parametrize("word", ["choke", "stuck"])
async def test_a_poisonous_long_text_is_found_while_small_requests_are_answered(
    tmp_path: Path, word: str
) -> None:
    """Their progress all the time must not hide the tokenizer of long texts."""
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            await ledger.until_answered(20)
            _assert_quarantined(await gateway.rerank([_LONG, f"{_LONG}<<{word}>>"]), index=1)
        ledger.assert_all_right()
        assert await _restarts(gateway) == 2


async def test_clients_that_come_and_give_up_do_not_hide_a_hang(tmp_path: Path) -> None:
    """Their texts are tokenized while the device call does not return."""
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        hung = asyncio.create_task(gateway.rerank(["<<sleep>>"]))
        await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] == 1)
        while (shard := (await gateway.shards())["fake/cpu:0"])["generation"] == 1:
            await gateway.rerank([f"beside {shard['queue']} jobs"], timeout_seconds=0.2)
        assert "hung: no progress for " in shard["last_error"]
        hung.cancel()


async def test_a_client_that_gives_up_and_asks_again_does_not_start_the_count_anew(
    tmp_path: Path,
) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        for _ in range(
            2
        ):  # after the first hang the pair is a suspect, after the second it is refused
            status, body, _ = await gateway.rerank(["<<sleep>>"], timeout_seconds=0.8)
            assert status in {503, 504}, body  # 503 once the shard is a suspect
            generation = (await gateway.shards())["fake/cpu:0"]["generation"]
            await gateway.until(
                # mypy does not infer a lambda with a default
                lambda shards, before=generation: (  # type: ignore[misc]
                    shards["fake/cpu:0"]["generation"] > before
                    and shards["fake/cpu:0"]["state"] == "ready"
                )
            )
        _assert_quarantined(await gateway.rerank(["<<sleep>>"]), index=0)
        assert await _restarts(gateway) == 2


async def test_a_slow_engine_is_not_a_hung_one(tmp_path: Path) -> None:
    """Every batch takes 2.5 seconds: longer than the shortest patience."""
    config = _CONFIG.format(replicas=1).replace("delay_ms=2", "delay_ms=2500")
    async with running(config, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=1)
        await ledger.send(1)
        ledger.assert_all_right()
        assert await _restarts(gateway) == 0


@pytest.mark.parametrize("hang", ["spin", "sleep", "stuck"])
async def test_a_hang_is_found_by_its_missing_progress(tmp_path: Path, hang: str) -> None:
    """The interpreter's lock is held, a call blocks, or the tokenizer never returns."""
    async with running(_CONFIG.format(replicas=2), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            _assert_quarantined(await gateway.rerank(["fine", f"<<{hang}>>"]), index=1)
        ledger.assert_all_right()
        assert await _restarts(gateway) == 2
        errors = [shard["last_error"] for shard in (await gateway.shards()).values()]
        waited = re.findall(r"hung: no progress for ([\d.]+) s", " ".join(errors))
        assert waited, errors
        # Two seconds, or four of a pair alone; what the machine takes away does not count.
        assert all(2 <= float(seconds) < 10 for seconds in waited), errors


async def test_a_shard_stopped_from_outside_is_replaced_and_its_jobs_are_no_suspects(
    tmp_path: Path,
) -> None:
    async with running(_CONFIG.format(replicas=2), tmp_path, chaos=True) as gateway:
        shards = await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=8):
            await ledger.until_answered(20)
            os.kill(shards["fake/cpu:0"]["pid"], signal.SIGSTOP)
            await gateway.until(
                lambda shards: (
                    shards["fake/cpu:0"]["state"] == "suspect"
                    or shards["fake/cpu:0"]["generation"] == 2
                )
            )
            await gateway.until(lambda shards: shards["fake/cpu:0"]["generation"] == 2)
        ledger.assert_all_right()
        error = (await gateway.shards())["fake/cpu:0"]["last_error"]
        assert "stopped from outside (SIGSTOP)" in error


async def test_a_shard_that_goes_on_in_time_is_trusted_again(tmp_path: Path) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        pid = (await gateway.until_ready())["fake/cpu:0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        text = "word " * 190_000  # so long that a shard has eight seconds to begin with it
        request = asyncio.create_task(gateway.rerank([text]))
        await gateway.until(lambda shards: shards["fake/cpu:0"]["state"] == "suspect")
        os.kill(pid, signal.SIGCONT)
        assert (await request)[0] == 200
        assert (await gateway.until_ready())["fake/cpu:0"]["generation"] == 1


@pytest.mark.parametrize(
    ("word", "code"),
    [("raise", "engine_error"), ("nan", "engine_error"), ("short", "engine_error")],
)
async def test_a_bad_pair_costs_its_own_request_only(tmp_path: Path, word: str, code: str) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=8):
            for _ in range(5):
                status, body, _ = await gateway.rerank(["fine", f"<<{word}>>"])
                assert (status, body["error"]["code"]) == (500, code)
                assert body["message"].startswith("documents[1] could not be scored")
        ledger.assert_all_right()
        assert await _restarts(gateway) == 0


async def test_a_batch_that_does_not_fit_into_memory_is_halved(tmp_path: Path) -> None:
    async with running(_CONFIG.format(replicas=1), tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        texts = ["<<oom>>", *(f"document {number}" for number in range(40))]
        status, body, _ = await gateway.rerank(texts)
        assert status == 200
        assert len(body["results"]) == 41
        assert await _restarts(gateway) == 0
