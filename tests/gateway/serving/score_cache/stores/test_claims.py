"""Claims of gateways in one real server; times are those of a clock of the test."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.redis_url import parse_redis_url
from gateway.serving.score_cache.stores import claims as claims_module
from gateway.serving.score_cache.stores.claim_rule import Terms
from gateway.serving.score_cache.stores.claims import Claims
from gateway.serving.score_cache.stores.redis import PREFIX, RedisBackend
from tests.gateway.serving.score_cache.stores.storing import (
    IDENTITY,
    SECRET,
    keys,
    store_on,
    until,
    written,
)
from tests.gateway.serving.score_cache.stores.storing import running as running_store
from tests.redis_server import RedisServer, redis_server

TERMS = Terms(seconds=10.0, ahead_seconds=0.0, remaining_seconds=300.0)


class Clock:
    """A clock that a pause moves on; a pause ends when the test lets it end."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.is_paused = False
        self.paused_at_once = self.most_at_once = 0
        self._steps = asyncio.Semaphore(0)

    def __call__(self) -> float:
        return self.now

    async def pausing(self, news: asyncio.Event, seconds: float) -> None:
        self.pauses.append(seconds)
        self.is_paused = True
        self.paused_at_once += 1
        self.most_at_once = max(self.most_at_once, self.paused_at_once)
        try:
            await self._steps.acquire()
        finally:
            self.paused_at_once -= 1
        self.now += seconds

    def step(self) -> None:
        """End a pause, if there is one."""
        if self.is_paused:
            self.is_paused = False
            self._steps.release()

    async def run_until(self, task: "asyncio.Task[set[bytes]]") -> None:
        """End one pause after the other until a task has ended."""
        while not task.done():
            self.step()
            await asyncio.sleep(0.001)


class Side:
    """The claims of one gateway."""

    def __init__(self, server: RedisServer) -> None:
        backend = RedisBackend(parse_redis_url(server.url))
        self.clock = Clock()
        self.store = store_on(backend, "shared")
        self.claims = Claims(
            self.store, backend, SECRET, clock=self.clock, pausing=self.clock.pausing
        )

    async def read(
        self, wanted: Sequence[bytes], terms: Terms = TERMS
    ) -> tuple[set[bytes], set[bytes]]:
        """Return the pairs that have a score, and those that another gateway scores."""
        found, elsewhere = await self.claims.read(IDENTITY, wanted, terms)
        return set(found), set(elsewhere)

    def wait(self, wanted: Sequence[bytes], seconds: float = 10.0) -> asyncio.Task[set[bytes]]:
        async def found() -> set[bytes]:
            return set(await self.claims.wait(IDENTITY, wanted, seconds))

        return asyncio.create_task(found())

    @property
    def counts(self) -> tuple[int, int, int]:
        status = self.claims.status()
        return status.won, status.waited, status.run_out

    async def until_paused(self, times: int) -> None:
        await until(lambda: len(self.clock.pauses) >= times)


@asynccontextmanager
async def two(server: RedisServer) -> AsyncIterator[tuple[Side, Side]]:
    one, other = Side(server), Side(server)
    async with running_store(one.store), running_store(other.store):
        await until(lambda: all(side.store.is_ready(IDENTITY) for side in (one, other)))
        yield one, other


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def place(key: bytes) -> bytes:
    return PREFIX + b"score:" + key


async def test_one_of_two_gateways_gets_each_pair(server: RedisServer) -> None:
    async with two(server) as (one, other):
        answers = await asyncio.gather(one.read(keys(50)), other.read(keys(50)))
        (_, of_one), (_, of_other) = answers
        assert of_one | of_other == set(keys(50))
        assert not of_one & of_other
        assert one.counts[0] + other.counts[0] == 50
        assert await one.read(keys(50)) == (set(), of_one)  # what it holds is its own to score
        assert one.counts[0] + other.counts[0] == 50
        lifetime = int(server.call("PTTL", place(keys(1)[0]))[1:])
        assert 10_000 < lifetime <= 20_000


async def test_a_score_ends_the_wait_for_it(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(3))
        assert await other.read(keys(4)) == (set(), set(keys(3)))
        waiting = other.wait(keys(3))
        await other.until_paused(1)
        one.claims.keep(keys(3))
        await written(one.store, keys(3))
        other.clock.step()
        assert await waiting == set(keys(3))
        assert other.counts == (1, 3, 0)
        assert await other.read(keys(3)) == (set(keys(3)), set())
        one.claims.release(keys(3))  # nothing is left to release
        assert await other.read(keys(3)) == (set(keys(3)), set())


async def test_a_wait_is_no_longer_than_its_bound(server: RedisServer) -> None:
    """As when the holder was killed."""
    async with two(server) as (one, other):
        await one.read(keys(2))
        started = other.clock.now
        waiting = other.wait(keys(2), seconds=5.0)
        for looks in range(1, 21):
            await other.until_paused(looks)
            assert not waiting.done()
            other.clock.step()
        assert await waiting == set()
        assert other.clock.now == started + 5.0
        assert len(other.clock.pauses) == 20
        assert other.counts == (0, 0, 2)


async def test_requests_that_wait_share_their_looks(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(4))
        long, short = other.wait(keys(4), 10.0), other.wait(keys(2), 1.0)
        late = other.wait(keys(1), 0.0)
        assert await late == set()
        await other.clock.run_until(short)
        assert await short == set()
        assert not long.done()
        await written(one.store, keys(4))
        await other.clock.run_until(long)
        assert await long == set(keys(4))
        assert other.clock.most_at_once == 1


async def test_a_request_that_leaves_ends_its_wait(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(1))
        waiting = other.wait(keys(1))
        await other.until_paused(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        other.clock.step()
        await until(lambda: other.claims._poller is None)


async def test_a_claim_that_is_given_up_ends_the_wait(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(2))
        waiting = other.wait(keys(2))
        await other.until_paused(1)
        one.claims.release(keys(2))
        await until(lambda: server.call("EXISTS", *map(place, keys(2))) == b":0\r\n")
        other.clock.step()
        assert await waiting == set()
        assert other.counts == (0, 0, 2)


async def test_a_claim_at_its_end_is_not_given_up(server: RedisServer) -> None:
    """Another gateway may have written a score since."""
    async with two(server) as (one, other):
        await one.read(keys(1))
        await written(other.store, keys(1))
        one.clock.now += 20.0
        one.claims.release(keys(1))
        await written(one.store, keys(1, 7))
        assert await other.read(keys(1)) == (set(keys(1)), set())


async def test_garbage_is_no_claim(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(2))
        server.call("SET", place(keys(6)[2]), "garbage")
        server.call("SET", place(keys(6)[3]), b"x" * 16)
        server.call("COPY", place(keys(6)[0]), place(keys(6)[4]), "REPLACE")  # of another pair
        server.call("LPUSH", place(keys(6)[5]), "a list")
        found, elsewhere = await other.read(keys(6))
        # The places that are taken are looked at once more, and no request waits for garbage.
        assert (found, set(keys(2)) <= elsewhere) == (set(), True)
        waiting = other.wait(sorted(elsewhere - set(keys(2))))
        assert await waiting == set()
        assert other.clock.pauses == []
        await written(other.store, keys(5))
        assert await one.read(keys(5)) == (set(keys(5)), set())


async def test_a_full_server_takes_no_claims(server: RedisServer) -> None:
    async with two(server) as (one, other):
        server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.call("CONFIG", "SET", "maxmemory", "1mb")
        for side in (one, other):
            assert await side.read(keys(5)) == (set(), set())
            assert side.counts == (0, 0, 0)
        assert one.store.status().opened == 0


async def test_a_server_that_ends_ends_the_waits(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await one.read(keys(2))
        waiting = other.wait(keys(2))
        await other.until_paused(1)
        server.kill()
        other.clock.step()
        assert await waiting == set()
        assert await other.read(keys(2)) == (set(), set())
        assert other.counts == (0, 0, 2)


async def test_too_much_is_not_waited_for(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "MOST_AWAITED", 2)
    async with two(server) as (one, other):
        await one.read(keys(5))
        first, second = other.wait(keys(2)), other.wait(keys(5))
        assert await second == set()
        await other.until_paused(1)
        await written(one.store, keys(5))
        other.clock.step()
        assert await first == set(keys(2))


async def test_what_does_not_pay_is_not_claimed(server: RedisServer) -> None:
    async with two(server) as (one, other):
        await written(one.store, keys(5))
        cheap = TERMS._replace(seconds=0.06)
        assert await other.read(keys(10), cheap) == (set(keys(5)), set())  # 0.03 s are missing
        assert other.counts == (0, 0, 0)
        assert await other.read(keys(10), TERMS) == (set(keys(5)), set())
        assert other.counts == (5, 0, 0)
