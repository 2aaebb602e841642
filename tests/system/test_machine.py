"""A machine without descriptors, room or time, and shards that misbehave."""

import asyncio
import itertools
import os
import resource
import signal
from pathlib import Path

import psutil

from tests.system.chaos_ledger import OK, judged
from tests.system.running import Gateway, Ledger, running

_CONFIG = """
[supervision]
backoff_first_seconds = 0.05
backoff_longest_seconds = 0.2
crash_limit = 1000
[models.fake]
source = "fake?delay_ms=2"
engine = "fake"
replicas = 2
"""


_ONE = _CONFIG.replace("replicas = 2", "replicas = 1")


async def _lose(gateway: Gateway, shard: str) -> None:
    """Kill a shard, and wait until the gateway has noticed."""
    pid = (await gateway.shards())[shard]["pid"]
    os.kill(pid, signal.SIGKILL)
    await gateway.until(lambda shards: shards[shard]["pid"] != pid)


def _limit_with_room_for(process: psutil.Process, descriptors: int) -> int:
    """Return the limit under which a process can open `descriptors` more."""
    used = {int(path.name) for path in Path(f"/proc/{process.pid}/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    return next(itertools.islice(free, descriptors, None))


async def _try_again(gateway: Gateway, shard: str) -> None:
    """Wait until the shard has been started once more, successfully or not."""
    before = (await gateway.shards())[shard]["generation"]
    await gateway.until(
        lambda shards: shards[shard]["state"] == "ready" or shards[shard]["generation"] > before + 1
    )


async def test_a_gateway_without_descriptors_serves_on_and_recovers(tmp_path: Path) -> None:
    """A start that fails at any of its steps gives back its resources; the next may succeed."""
    async with running(_CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        process = psutil.Process(gateway.process.pid)
        ledger = Ledger(gateway)
        await ledger.send(0)
        descriptors, limits = gateway.descriptors, process.rlimit(resource.RLIMIT_NOFILE)
        children = len(process.children())
        for room in range(0, 10, 3):
            process.rlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
            await _lose(gateway, "fake/cpu:0")
            await gateway.until(lambda shards: "started" in shards["fake/cpu:0"]["last_error"])
            process.rlimit(resource.RLIMIT_NOFILE, (_limit_with_room_for(process, room), limits[1]))
            await _try_again(gateway, "fake/cpu:0")
            await ledger.send(room)
            process.rlimit(resource.RLIMIT_NOFILE, limits)
            await gateway.until_ready()
        ledger.assert_all_right()
        await gateway.until_at_rest(descriptors, children)


async def test_a_paused_machine_has_no_hung_shards(tmp_path: Path) -> None:
    """Gateway and shard are frozen together, as a container is; the gateway wakes up first."""
    config = _ONE.replace("delay_ms=2", "delay_ms=1000")
    async with running(config, tmp_path) as gateway:
        pid = (await gateway.until_ready())["fake/cpu:0"]["pid"]
        ledger = Ledger(gateway)
        request = asyncio.create_task(ledger.send(1))
        await gateway.until(lambda shards: shards["fake/cpu:0"]["queue"] == 1 or request.done())
        await asyncio.sleep(0.25)  # until the supervisor has seen the batch begin
        for process in (gateway.process.pid, pid):
            os.kill(process, signal.SIGSTOP)
        await asyncio.sleep(5)  # longer than the limit of a hang
        gateway.signal(signal.SIGCONT)
        await gateway.shards()
        os.kill(pid, signal.SIGCONT)
        await request
        ledger.assert_all_right()
        shard = (await gateway.until_ready())["fake/cpu:0"]
        assert (shard["generation"], shard["last_error"]) == (1, "")


async def test_texts_that_do_not_fit_into_the_arena_wait_their_turn(tmp_path: Path) -> None:
    """Thirty megabytes for an arena of eight, and the event loop never waits for any of them."""
    config = _ONE + "token_budget = 10_000_000\nmax_length = 1_000_000\n"
    config = "[limits]\nqueue_tokens = 1_000_000_000\n" + config
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        texts = [f"{place}" + " word" * 20_000 for place in range(10)]
        requests = [asyncio.create_task(gateway.rerank(texts)) for _ in range(30)]
        while not all(request.done() for request in requests):
            assert (await gateway.get("/livez"))[0] == 200
        for status, body, _ in await asyncio.gather(*requests):
            assert judged("which?", texts, status, body) == (OK, "")


async def test_processes_that_a_shard_has_started_end_with_it(tmp_path: Path) -> None:
    async with running(_ONE, tmp_path, chaos=True) as gateway:
        pid = (await gateway.until_ready())["fake/cpu:0"]["pid"]
        assert (await gateway.rerank(["<<fork>>"]))[0] == 200
        (child,) = psutil.Process(pid).children()
        await _lose(gateway, "fake/cpu:0")
        await gateway.until(lambda shards: shards["fake/cpu:0"]["generation"] == 2)
        _, alive = await asyncio.to_thread(psutil.wait_procs, [child], timeout=60)
        assert alive == []


async def test_a_shard_that_floods_its_log_disturbs_no_request(tmp_path: Path) -> None:
    async with running(_CONFIG, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway)
        async with ledger.load(clients=4):
            assert (await gateway.rerank(["<<spam>>"]))[0] == 200
        ledger.assert_all_right()
        assert gateway.log.stat().st_size > 5_000_000
        assert {shard["restarts"] for shard in (await gateway.shards()).values()} == {0}
