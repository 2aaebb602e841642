"""The stores behind the memory cache, from the fastest to the slowest."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from gateway.serving.score_cache.stores.claim_rule import Terms
from gateway.serving.score_cache.stores.claims import Claims
from gateway.serving.score_cache.stores.score_store import ScoreStore, StoreSource
from gateway.serving.score_cache.stores.sealed_score import Kept
from gateway.telemetry.score_cache_status import ScoreStoreStatus

LateRead = asyncio.Task[Mapping[bytes, Kept]]
"""A read that takes longer than a request waits for it."""


class ChainReading(NamedTuple):
    """A read of all stores.

    Attributes:
        found: the scores that came in time, by store and key.
        elsewhere: the keys of the pairs that other gateways score now.
        late: the reads that go on, by store.
    """

    found: Mapping[StoreSource, Mapping[bytes, Kept]]
    elsewhere: Collection[bytes]
    late: Mapping[StoreSource, LateRead]


class StoreChain:
    """Stores that are read one after the other, each for what the ones before lack.

    Args:
        stores: the stores, the fastest first.
        seconds: the age after which a score is forgotten.
        forgotten: is called with the identity of a model whose scores another process has made
            invalid in one of them.
        claims: the claims in one of the stores, if gateways have one in common.
        clock: the seconds since the Unix epoch.

    Attributes:
        claims: the same.
    """

    def __init__(
        self,
        stores: Sequence[ScoreStore],
        seconds: float,
        forgotten: Callable[[bytes], None],
        claims: Claims | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.claims = claims
        self._stores = tuple(stores)
        self._seconds = seconds
        self._forgotten = forgotten
        self._clock = clock
        for number, store in enumerate(self._stores):
            store.forgotten = partial(self._forget_faster, number)

    def __len__(self) -> int:
        return len(self._stores)

    def __iter__(self) -> Iterator[ScoreStore]:
        return iter(self._stores)

    def seconds_left(self, kept: Kept) -> float:
        """Return the time that is left of the life of a score."""
        return max(1.0, kept.made + self._seconds - self._clock())

    async def read(
        self, identity: bytes, keys: Sequence[bytes], terms: Terms | None = None
    ) -> ChainReading:
        """Read the scores of a model.

        Faster stores get what a slower one has. Without terms no pair is claimed or waited for.
        """
        found: dict[StoreSource, Mapping[bytes, Kept]] = {}
        elsewhere: Collection[bytes] = ()
        late: dict[StoreSource, LateRead] = {}
        missing = list(keys)
        for store in self._stores:
            if not missing:
                break
            if self.claims and store is self.claims.store and terms is not None:
                here = terms.of(len(missing) / len(keys))
                scores, elsewhere = await self.claims.read(identity, missing, here)
            else:
                scores, rest = await store.read(identity, missing)
                late |= {store.source: rest} if rest else {}
            found[store.source] = scores
            missing = [key for key in missing if key not in scores]
            self._write_before(store, identity, scores)
        return ChainReading(found, elsewhere, late)

    async def wait(
        self, identity: bytes, keys: Collection[bytes], seconds: float
    ) -> Mapping[bytes, Kept]:
        """Return the scores that other gateways compute, as far as they come in time."""
        if self.claims is None:
            return {}
        found = await self.claims.wait(identity, keys, seconds)
        self._write_before(self.claims.store, identity, found)
        return found

    def _write_before(
        self, store: ScoreStore, identity: bytes, scores: Mapping[bytes, Kept]
    ) -> None:
        for faster in self._stores[: self._stores.index(store)] if scores else ():
            faster.write(identity, scores)

    def write(self, identity: bytes, packed: Mapping[bytes, bytes]) -> None:
        """Write scores of a model that were computed now."""
        if self.claims is not None:
            self.claims.keep(packed)
        made = int(self._clock())
        scores = {key: Kept(score, made) for key, score in packed.items()}
        for store in self._stores:
            store.write(identity, scores)

    def forget(self, identity: bytes) -> None:
        """Make all scores of a model invalid."""
        for store in self._stores:
            store.forget(identity)

    def _forget_faster(self, number: int, identity: bytes) -> None:
        """Pass on that scores are invalid: to faster stores and to memory, never to a slower one.

        Two gateways with one disk and one shared store would else renew epochs for each other
        without end.
        """
        for store in self._stores[:number]:
            store.forget(identity)
        self._forgotten(identity)

    async def run(self, followed: Callable[[], Collection[bytes]]) -> None:
        """Run all stores until cancelled, then close them."""
        try:
            async with asyncio.TaskGroup() as group:
                for store in self._stores:
                    group.create_task(store.run(followed), name=f"{store.source} store")
        finally:
            if self._stores:
                followed()  # a canary may have failed since the last look
            await asyncio.gather(*(store.close() for store in self._stores))

    def status(self) -> tuple[ScoreStoreStatus, ...]:
        """Return a snapshot."""
        claims = self.claims
        return tuple(
            replace(store.status(), claims=claims.status())
            if claims and store is claims.store
            else store.status()
            for store in self._stores
        )
