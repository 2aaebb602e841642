"""Claims on pairs that have no score yet, so that one of the gateways that share a store scores it.

A gateway that misses a pair in the store puts a claim in its place, unless another gateway was
first: then its request waits for the score. All waiting requests of a gateway are served by one
task that reads all their pairs at once, again and again. A subscription would need a connection and
rights of its own and, as a message may be lost and a holder may die, the same reads beside it.

A claim is a reason to wait, and never one not to answer: the bounds are in `claim_rule`.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.serving.score_cache.stores.backend import ClaimingBackend
from gateway.serving.score_cache.stores.bounded import wait
from gateway.serving.score_cache.stores.claim_rule import Terms, lifetime, pause, pays
from gateway.serving.score_cache.stores.score_store import ScoreStore
from gateway.serving.score_cache.stores.sealed_claim import HOLDER_BYTES, seal_claim
from gateway.serving.score_cache.stores.sealed_score import Kept
from gateway.telemetry.score_cache_status import ScoreClaimsStatus

MOST_AWAITED = 5_000
"""The most pairs that a gateway waits for; more are computed at once."""

_LEARNING_RATE = 0.1
_RELEASE_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class _Wait:
    """The wait of one request: for scores that other gateways compute, until a time at most."""

    identity: bytes
    keys: set[bytes]
    until: float
    pause_seconds: float
    found: dict[bytes, Kept] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Claims:
    """The claims of this gateway in one store.

    Args:
        store: the store.
        backend: the backend of that store.
        secret: the secret of their checksums.
        clock: monotonic seconds.
        pausing: waits for an event, at most so many seconds.

    Attributes:
        store: the same.
    """

    def __init__(
        self,
        store: ScoreStore,
        backend: ClaimingBackend,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
        pausing: Callable[[asyncio.Event, float], Awaitable[None]] = wait,
    ) -> None:
        self.store, self._backend, self._secret = store, backend, secret
        self._clock, self._pausing = clock, pausing
        self._holder = secrets.token_bytes(HOLDER_BYTES)
        self._answer_seconds = 0.0
        self._asked: Counter[bytes] = Counter()  # keys whose claims are on their way
        self._held: dict[bytes, float] = {}  # keys with a claim of this gateway, and its end
        self._waits: set[_Wait] = set()
        self._poller: asyncio.Task[None] | None = None
        self._news = asyncio.Event()  # a reason to look before the pause is over
        self._releases: set[asyncio.Task[object]] = set()
        self._counts: Counter[str] = Counter()

    async def read(
        self, identity: bytes, keys: Sequence[bytes], terms: Terms
    ) -> tuple[Mapping[bytes, Kept], Collection[bytes]]:
        """Return the scores in the store, and the pairs to wait for; claim the other pairs.

        It takes no longer than a read may take.
        """
        started = self._clock()
        look = await self.store.look(identity, keys)
        taken = self._clock() - started
        if look is None:
            return {}, ()
        self._answer_seconds += _LEARNING_RATE * (taken - self._answer_seconds)
        found = self.store.count_read(keys, look)
        missing = [key for key in keys if key not in found]
        terms = terms.of(len(missing) / len(keys))
        if not pays(terms, len(missing), self._answer_seconds):
            return found, ()
        elsewhere = {key for key, holder in look.holders.items() if holder != self._holder}
        elsewhere |= {key for key in missing if key in self._asked}
        free = [k for k in missing if k not in elsewhere and self._held.get(k, 0) < started]
        left = self.store.limit - taken
        if free and left > 0:
            elsewhere |= await self._claim(free, terms, left)
        return found, elsewhere

    async def _claim(self, keys: Sequence[bytes], terms: Terms, most_seconds: float) -> set[bytes]:
        """Claim pairs; return those that were claimed before, or have a score since the read."""
        lasting = lifetime(terms)
        claims = {key: seal_claim(key, self._holder, self._secret) for key in keys}
        self._asked.update(keys)
        try:
            until = self._clock() + lasting
            use = self._backend.claim(claims, lasting)
            answers = await self.store.ask(use, most_seconds)
        finally:
            self._asked -= Counter(keys)
            self._news.set()
        won = {key for key, is_ours in (answers or {}).items() if is_ours}
        self._counts["won"] += len(won)
        self._held.update(dict.fromkeys(won, until))
        return set(answers or {}) - won

    def keep(self, keys: Collection[bytes]) -> None:
        """Note that pairs have scores, which replace their claims."""
        for key in keys:
            self._held.pop(key, None)

    def release(self, keys: Collection[bytes]) -> None:
        """Remove the claims on pairs that this gateway does not score after all.

        A claim that has come to its end may have made room for a score, so it is left alone.
        """
        now = self._clock()
        ours = [key for key in keys if self._held.pop(key, now) > now]
        if not ours:
            return
        work = self.store.ask(self._backend.release(ours), _RELEASE_SECONDS)
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def wait(
        self, identity: bytes, keys: Collection[bytes], seconds: float
    ) -> Mapping[bytes, Kept]:
        """Return the scores of pairs that other gateways compute, as far as they come in time."""
        now, room = self._clock(), MOST_AWAITED - self.awaited
        waiting = _Wait(identity, set(list(keys)[: max(0, room)]), now + seconds, pause(seconds))
        if not waiting.keys or seconds <= 0:
            return {}
        self._waits.add(waiting)
        self._news.set()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="claimed scores")
        try:
            await waiting.ended.wait()
        finally:
            self._waits.discard(waiting)
        return waiting.found

    @property
    def awaited(self) -> int:
        """The number of pairs that requests wait for now."""
        return sum(len(one.keys) for one in self._waits)

    async def _poll(self) -> None:
        """Look for the scores of all waiting requests until none waits."""
        try:
            while self._waits:
                self._news.clear()
                for identity in {one.identity for one in self._waits}:
                    await self._look(identity)
                now = self._clock()
                for waiting in [one for one in self._waits if not one.keys or one.until <= now]:
                    self._end(waiting)
                if left := [min(one.pause_seconds, one.until - now) for one in self._waits]:
                    await self._pausing(self._news, min(left))
        finally:
            self._poller = None
            for waiting in list(self._waits):
                self._end(waiting)

    async def _look(self, identity: bytes) -> None:
        """Look once for the scores that requests of one model wait for."""
        waits = [one for one in self._waits if one.identity == identity]
        wanted = set[bytes]().union(*(one.keys for one in waits))
        look = await self.store.look(identity, list(wanted)) if wanted else None
        for waiting in waits:
            for key in waiting.keys & wanted:
                if look is not None and (kept := look.found.get(key)):
                    waiting.found[key] = kept
                    self._counts["waited"] += 1
                elif look is not None and self._is_open(key, look.holders.get(key)):
                    continue
                elif look is None or key not in look.holders:  # its holder has given up
                    self._counts["run_out"] += 1
                waiting.keys.discard(key)

    def _is_open(self, key: bytes, holder: bytes | None) -> bool:
        """Return whether another gateway computes a score, or it is not known yet who does."""
        return key in self._asked or holder not in (None, self._holder)

    def _end(self, waiting: _Wait) -> None:
        self._counts["run_out"] += len(waiting.keys)
        waiting.keys.clear()
        self._waits.discard(waiting)
        waiting.ended.set()

    def status(self) -> ScoreClaimsStatus:
        """Return a snapshot."""
        counts = self._counts
        return ScoreClaimsStatus(
            won=counts["won"], waited=counts["waited"], run_out=counts["run_out"]
        )
