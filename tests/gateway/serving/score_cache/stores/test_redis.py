"""Scores that gateways share, with real servers: no state of the server costs an answer."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.config.redis_url import parse_redis_url
from gateway.serving.score_cache.building import SHARED_READ_SECONDS
from gateway.serving.score_cache.stores.redis import PREFIX, RedisBackend
from gateway.serving.score_cache.stores.score_store import ScoreStore
from tests.gateway.serving.score_cache.stores.storing import (
    IDENTITY,
    PATIENCE_SECONDS,
    keys,
    scores,
    store_on,
    storing,
    until,
    until_state,
    written,
)
from tests.redis_server import RedisServer, free_port, redis_server, sentinel


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def backend(url: str) -> RedisBackend:
    return RedisBackend(parse_redis_url(url))


async def assert_claims(url: str) -> None:
    """A place is claimed once, and again when it is given up."""
    claims, store = dict.fromkeys(keys(50, 1000), b"claim"), backend(url)
    assert await store.claim(claims, 60.0) == dict.fromkeys(claims, True)
    assert await store.claim(claims, 60.0) == dict.fromkeys(claims, False)
    await store.release(list(claims)[:10])
    again = await store.claim(claims, 60.0)
    assert [key for key, is_won in again.items() if is_won] == list(claims)[:10]
    await store.release(list(claims))
    await store.close()


async def test_gateways_share_scores_and_forget_together(server: RedisServer) -> None:
    async with (
        storing(backend(server.url), "shared") as first,
        storing(backend(f"redis://127.0.0.1:{server.port}/0"), "shared") as second,
    ):
        await written(first, keys(100))
        found = (await second.read(IDENTITY, [*keys(100), b"n" * 16])).found
        assert {key: kept.packed for key, kept in found.items()} == {
            key: kept.packed for key, kept in scores(keys(100)).items()
        }
        assert (second.status().found, second.status().missing) == (100, 1)
        lifetime = server.call("PTTL", PREFIX + b"score:" + keys(1)[0])
        assert 3_500_000 < int(lifetime[1:]) <= 3_600_000
        forgotten: list[bytes] = []
        second.forgotten = forgotten.append
        first.forget(IDENTITY)
        await until(lambda: forgotten == [IDENTITY])
        for store in (first, second):
            assert (await store.read(IDENTITY, keys(100))).found == {}
        await written(second, keys(1))
        assert len((await first.read(IDENTITY, keys(100))).found) == 1


async def test_a_server_that_was_emptied_costs_no_kept_score_in_memory(
    server: RedisServer,
) -> None:
    async with storing(backend(server.url), "shared") as store:
        await written(store, keys(3))
        forgotten: list[bytes] = []
        store.forgotten = forgotten.append
        server.call("FLUSHALL")
        assert (await store.read(IDENTITY, keys(3))).found == {}
        await until(lambda: server.call("EXISTS", PREFIX + b"epoch:" + IDENTITY) == b":1\r\n")
        await written(store, keys(3))
        assert len((await store.read(IDENTITY, keys(3))).found) == 3
        assert forgotten == []


async def test_an_epoch_that_has_ended_does_not_come_back(server: RedisServer) -> None:
    """As when a replica without the last writes takes over."""
    place = PREFIX + b"epoch:" + IDENTITY
    async with storing(backend(server.url), "shared") as store:
        await written(store, keys(1))
        old_score = server.call("DUMP", PREFIX + b"score:" + keys(1)[0])
        old = server.call("GET", place).split(b"\r\n", 1)[1][:8]
        store.forget(IDENTITY)
        await until(lambda: old not in server.call("GET", place))
        server.call("SET", place, old)
        assert (await store.read(IDENTITY, keys(1))).found == {}
        await until(lambda: old not in server.call("GET", place))
        assert old_score == server.call("DUMP", PREFIX + b"score:" + keys(1)[0])
        assert (await store.read(IDENTITY, keys(1))).found == {}


async def test_garbage_is_a_miss(server: RedisServer) -> None:
    async with storing(backend(server.url), "shared") as store:
        await written(store, keys(6))
        names = [PREFIX + b"score:" + key for key in keys(6)]
        server.call("SET", names[0], "garbage")
        server.call("SET", names[1], b"")
        server.call("COPY", names[2], names[3], "REPLACE")  # the score of another pair
        server.call("DEL", names[4])
        server.call("LPUSH", names[4], "a list")
        found = (await store.read(IDENTITY, keys(6))).found
        assert set(found) == {keys(6)[2], keys(6)[5]}
        assert (store.status().damaged, store.status().state) == (3, "ok")
        server.call("DEL", PREFIX + b"epoch:" + IDENTITY)
        server.call("LPUSH", PREFIX + b"epoch:" + IDENTITY, "a list")
        assert (await store.read(IDENTITY, keys(6))).found == {}
        await until_state(store, "degraded")
        server.call("DEL", PREFIX + b"epoch:" + IDENTITY)
        await until_state(store, "ok")


async def test_a_killed_server_is_left_alone_until_it_is_back(server: RedisServer) -> None:
    async with storing(backend(server.url), "shared") as store:
        await written(store, keys(1))
        for _ in range(3):
            server.kill()
            assert (await store.read(IDENTITY, keys(1))).found == {}
            await until_state(store, "degraded")
            store.write(IDENTITY, scores(keys(2)))
            assert store.status().waiting == 0
            server.start()
            await until_state(store, "ok")
            await written(store, keys(1))
            assert len((await store.read(IDENTITY, keys(1))).found) == 1
        assert store.status().dropped >= 6


async def test_a_store_that_is_cancelled_ends(server: RedisServer) -> None:
    """At any moment of a command: redis-py swallows one of ten cancellations."""
    for step in range(100):
        store = store_on(backend(server.url), "shared", tick_seconds=0.001)
        running = asyncio.create_task(store.run(lambda: {IDENTITY}))
        await asyncio.sleep(0.01 + step * 0.00013)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=120)
        assert done, f"still running at step {step}"
        await store.close()


async def test_a_server_that_does_not_answer_costs_its_limit(server: RedisServer) -> None:
    """And no wrong score after it."""
    store = store_on(backend(server.url), "shared", tick_seconds=3600.0)
    running = asyncio.create_task(store.run(lambda: {IDENTITY}))
    await written(store, keys(50))
    assert len((await store.read(IDENTITY, keys(50))).found) == 50
    store.read_seconds = SHARED_READ_SECONDS
    server.stop()
    waits = []
    for key in keys(5):
        started = time.monotonic()
        assert (await store.read(IDENTITY, [key])).found == {}
        waits.append(time.monotonic() - started)
    assert min(waits) < 0.5  # 5 ms on a machine that is not busy; a pause delays one of them
    assert (store.status().state, store.status().unread) == ("degraded", 5)
    assert "no answer within 5 ms" in store.status().reason
    server.resume()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    running = asyncio.create_task(store.run(lambda: {IDENTITY}))  # its first act is a probe
    await until_state(store, "ok")
    store.read_seconds = PATIENCE_SECONDS
    for key in keys(50):  # on connections whose last answers were not waited for
        found = (await store.read(IDENTITY, [key])).found
        assert [kept.packed for kept in found.values()] == [key + b"score"]
    assert store.status().damaged == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


async def test_a_full_server_is_read_and_reported(tmp_path: Path) -> None:
    options = ("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with redis_server(tmp_path / "redis", *options) as server:
        async with storing(backend(server.url), "shared") as store:
            await written(store, keys(10))
            start = 1000
            while store.status().state == "ok":
                store.write(IDENTITY, scores(keys(1000, start)))
                await until(lambda: store.status().waiting == 0)
                start += 1000
            assert "maxmemory" in store.status().reason
            assert len((await store.read(IDENTITY, keys(10))).found) == 10
            assert (store.status().opened, store.status().dropped > 0) == (0, True)
            # A model whose scores are wrong is forgotten even now.
            place = PREFIX + b"epoch:" + IDENTITY
            old = server.call("GET", place)
            server.call("CONFIG", "SET", "maxmemory", "1mb")
            store.forget(IDENTITY)
            await until(lambda: server.call("GET", place) == b"$-1\r\n", store.status)
            server.call("CONFIG", "SET", "maxmemory", "100mb")
            await until(lambda: server.call("GET", place) not in (b"$-1\r\n", old))
            assert (await store.read(IDENTITY, keys(10))).found == {}
            await written(store, keys(10))
            assert store.status().state == "ok"


async def test_users_and_tls(tmp_path: Path) -> None:
    needed = ("+get", "+mget", "+set", "+del", "+client|setname")  # as docs/score-cache.md has it
    user = ("gateway", "on", ">secret", "~rerank:*", "-@all", *needed)
    rules = ("--user", "default", "off", "--user", *user)
    with redis_server(tmp_path / "redis", *rules, tls=True) as server:
        place, ca = f"127.0.0.1:{server.port}/0", server.folder / "redis.pem"
        url = f"rediss://gateway:secret@{place}?ssl_ca_certs={ca}"
        async with storing(backend(url), "shared") as store:
            await written(store, keys(3))
            assert len((await store.read(IDENTITY, keys(3))).found) == 3
            assert store.status().place == f"rediss://gateway@{place}"
        await assert_claims(url)
        wrong = {
            f"rediss://gateway:hidden@{place}?ssl_ca_certs={ca}": "WRONGPASS|invalid username",
            f"rediss://gateway:secret@{place}": "certificate",
            f"redis://gateway:secret@{place}": "Connection|closed|reset",
        }
        for url, reason in wrong.items():
            async with storing(backend(url), "shared") as store:
                await until_state(store, "degraded")
                # On a busy machine its first reason may be that the server took long.
                await until(partial(_is_degraded_for, store, reason), store.status)
                assert "hidden" not in str(store.status())
                assert (await store.read(IDENTITY, keys(1))).found == {}


def _is_degraded_for(store: ScoreStore, reason: str) -> bool:
    return any(word in store.status().reason for word in reason.split("|"))


async def test_the_master_behind_sentinels_is_found_again(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "master") as master,
        redis_server(tmp_path / "replica", "--repl-diskless-sync-delay", "0") as replica,
    ):
        replica.call("REPLICAOF", "127.0.0.1", str(master.port))
        await until(lambda: b"master_link_status:up" in replica.call("INFO", "replication"))
        watched = ("--sentinel", "monitor", "scores", "127.0.0.1", str(master.port), "1")
        after = ("--sentinel", "down-after-milliseconds", "scores", "300")
        again = ("--sentinel", "failover-timeout", "scores", "5000")  # of a failover that failed
        with sentinel(tmp_path / "sentinel", watched, after, again) as watcher:
            known = b"num-slaves\r\n$1\r\n1"
            await until(lambda: known in watcher.call("SENTINEL", "master", "scores"))
            url = f"redis+sentinel://127.0.0.1:{watcher.port}/scores/0"
            async with storing(backend(url), "shared") as store:
                await written(store, keys(3))
                await until(lambda: replica.call("DBSIZE") == b":4\r\n")
                master.kill()
                await until(lambda: b"role:master" in replica.call("INFO", "replication"))
                await until_state(store, "ok")
                await written(store, keys(1, 100))
                assert set((await store.read(IDENTITY, keys(200))).found) == {
                    *keys(3),
                    *keys(1, 100),
                }


async def test_a_cluster_shares_scores(tmp_path: Path) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "60000", "--cluster-port")
    buses = [str(free_port()), str(free_port())]
    with (
        redis_server(tmp_path / "a", *options, buses[0]) as first,
        redis_server(tmp_path / "b", *options, buses[1]) as second,
    ):
        first.call("CLUSTER", "ADDSLOTSRANGE", "0", "8000")
        second.call("CLUSTER", "ADDSLOTSRANGE", "8001", "16383")
        first.call("CLUSTER", "MEET", "127.0.0.1", str(second.port), buses[1])
        await until(
            lambda: all(b"state:ok" in node.call("CLUSTER", "INFO") for node in (first, second))
        )
        url = f"redis+cluster://127.0.0.1:{first.port}"
        async with storing(backend(url), "shared") as store:
            await written(store, keys(300))
            assert len((await store.read(IDENTITY, keys(300))).found) == 300
            assert all(int(node.call("DBSIZE")[1:]) > 100 for node in (first, second))
            await assert_claims(url)
            store.forget(IDENTITY)
            await written(store, keys(3))
            assert set((await store.read(IDENTITY, keys(300))).found) == set(keys(3))
            second.kill()
            found = (await store.read(IDENTITY, keys(300))).found
            assert set(found) <= set(keys(3))
