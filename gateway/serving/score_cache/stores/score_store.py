"""A store of scores behind the memory cache: bounded in time, and never the reason of an error.

Reads have a limit of time; writes wait in a bounded queue for one task. After failures in a row the
breaker opens: requests go on without the store until a probe in the background succeeds. A request
waits less than that limit for the disk, and then computes while the read goes on.

Each model has an *epoch* in the store, a random number that is part of each of its scores. A score
of another epoch than that of its model is not valid. To forget the scores of a model, on all hosts
at once, its epoch is renewed. An epoch that is missing in the store, as the store was emptied, is
written again; one that has ended and comes back, as a replica without the last writes took over, is
renewed again.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from gateway.serving.score_cache.stores.backend import Backend, Entry, StoreFailed, StoreFull
from gateway.serving.score_cache.stores.bounded import settle, wait, within
from gateway.serving.score_cache.stores.breaker import Breaker
from gateway.serving.score_cache.stores.reading import Look, Reading
from gateway.serving.score_cache.stores.sealed_claim import holder_of
from gateway.serving.score_cache.stores.sealed_score import (
    EPOCH_BYTES,
    Damaged,
    Kept,
    seal,
    unseal,
)
from gateway.telemetry.score_cache_status import STORE_RESULTS, ScoreStoreStatus

_logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""The time between two probes: a renewed epoch and a store that works again are found in it."""

MOST_WAITING = 50_000
"""The most scores that wait to be written, about 20 MB."""

_WRITTEN_AT_ONCE = 500
_WORK_SECONDS = 2.0  # the limit of one step in the background
_CLOSING_SECONDS = 2.0
_PROBED = bytes(32)  # the identity that is probed while no model is loaded

StoreSource = Literal["disk", "shared"]

_Answer = TypeVar("_Answer")


class _Waiting(NamedTuple):
    """A score that is to be written; its epoch may not be known yet."""

    identity: bytes
    key: bytes
    kept: Kept
    epoch: bytes | None


class ScoreStore:
    """The scores of one backend.

    Args:
        backend: the place that keeps them.
        source: its name as the source of a score.
        secret: the secret of their checksums.
        seconds: the age after which a score is not valid.
        read_seconds: the longest time that a request waits for a read.
        answer_seconds: the time after which a read has failed, if that is longer.
        tick_seconds: the time between two probes.
        clock: the seconds since the Unix epoch.

    Attributes:
        read_seconds, answer_seconds: the same.
        forgotten: is called with the identity of a model whose epoch another process has renewed.
    """

    def __init__(
        self,
        backend: Backend,
        source: StoreSource,
        *,
        secret: bytes,
        seconds: float,
        read_seconds: float,
        answer_seconds: float = 0.0,
        tick_seconds: float = TICK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.source: StoreSource = source
        self.forgotten: Callable[[bytes], None] = lambda identity: None
        self._backend = backend
        self._secret, self._seconds = secret, seconds
        self.read_seconds, self._tick_seconds = read_seconds, tick_seconds
        self.answer_seconds = answer_seconds
        self._reads: set[asyncio.Task[Mapping[bytes, Kept]]] = set()
        self._clock = clock
        self._breaker = Breaker()
        self._refusal = ""  # the reason of the last write that a store refused, until one succeeds
        self._reported = ""
        self._epochs: dict[bytes, bytes] = {}
        self._ended: set[bytes] = set()
        self._to_renew: set[bytes] = set()
        self._queue: deque[_Waiting] = deque()
        self._writing = 0
        self._wake = asyncio.Event()
        self._counts: Counter[str] = Counter()

    def is_ready(self, identity: bytes) -> bool:
        """Return whether the epoch of a model is known, or there is no model."""
        return not self._breaker.is_open and (not identity or identity in self._epochs)

    async def read(self, identity: bytes, keys: Sequence[bytes]) -> Reading:
        """Return the valid scores of a model that come in time, and the read if it is late."""
        if self.limit == self.read_seconds:
            return Reading(await self._read(identity, keys), None)
        reading = asyncio.create_task(self._read(identity, keys))
        self._reads.add(reading)  # the event loop keeps no task alive by itself
        reading.add_done_callback(self._reads.discard)
        await asyncio.wait([reading], timeout=self.read_seconds)
        return Reading(reading.result(), None) if reading.done() else Reading({}, reading)

    async def _read(self, identity: bytes, keys: Sequence[bytes]) -> Mapping[bytes, Kept]:
        look = await self.look(identity, keys)
        return {} if look is None else self.count_read(keys, look)

    def count_read(self, keys: Sequence[bytes], look: Look) -> dict[bytes, Kept]:
        """Count the answer to a read, and return its scores."""
        found = dict(look.found)
        self._counts["found"] += len(found)
        self._counts["missing"] += len(keys) - len(found)
        return found

    async def look(self, identity: bytes, keys: Sequence[bytes]) -> Look | None:
        """Return what the store has of a model; `None` if it does not answer in time."""
        if self._breaker.is_open or identity in self._to_renew:
            self._counts["unread"] += len(keys)
            return None
        answer = await self.ask(self._backend.read(identity, keys), self.limit)
        if answer is None:
            self._counts["unread"] += len(keys)
            return None
        epoch, sealed = answer
        if epoch is None or not self._see(identity, epoch):
            sealed = {}
        return self._valid(sealed, epoch)

    async def ask(self, use: Coroutine[object, object, _Answer], seconds: float) -> _Answer | None:
        """Return the answer of the backend in time; `None` without one, which is a failure."""
        try:
            answer = await within(seconds, use)
        except StoreFailed as error:
            self._fail(str(error))
            return None
        self._breaker.succeed()
        return answer

    @property
    def limit(self) -> float:
        """The longest time that a read may take."""
        return max(self.read_seconds, self.answer_seconds)

    def _valid(self, sealed: Mapping[bytes, bytes], epoch: bytes | None) -> Look:
        """Return the scores of this epoch that are whole and not too old, and the claims."""
        found, holders, oldest = {}, {}, self._clock() - self._seconds
        for key, value in sealed.items():
            if holder := holder_of(key, value, self._secret):
                holders[key] = holder
                continue
            try:
                its_epoch, kept = unseal(key, value, self._secret)
            except Damaged:
                self._counts["damaged"] += 1
                continue
            if its_epoch == epoch and kept.made > oldest:
                found[key] = kept
        return Look(found, holders)

    def write(self, identity: bytes, scores: Mapping[bytes, Kept]) -> None:
        """Write scores of a model in the background, or count them as dropped."""
        room = 0 if self._breaker.is_open else MOST_WAITING - len(self._queue)
        epoch = self._epochs.get(identity)
        taken = list(scores.items())[:room]
        self._queue.extend([_Waiting(identity, key, kept, epoch) for key, kept in taken])
        self._counts["dropped"] += len(scores) - len(taken)
        self._wake.set()

    def forget(self, identity: bytes) -> None:
        """Make all scores of a model invalid that the store has now, or that wait for it."""
        if ended := self._epochs.pop(identity, None):
            self._ended.add(ended)
        self._to_renew.add(identity)
        self._queue = deque(item for item in self._queue if item.identity != identity)
        self._wake.set()

    def _see(self, identity: bytes, epoch: bytes) -> bool:
        """Take the epoch of a model from the store; return whether its scores are valid."""
        if identity in self._to_renew:
            return False
        if epoch in self._ended:
            self._to_renew.add(identity)
            self._wake.set()
            return False
        before = self._epochs.get(identity)
        self._epochs[identity] = epoch
        if before not in (None, epoch):
            assert before is not None  # for mypy
            self._ended.add(before)
            self.forgotten(identity)
        return True

    async def run(self, followed: Callable[[], Collection[bytes]]) -> None:
        """Probe the store, renew epochs and write, until cancelled.

        Args:
            followed: returns the identities of the models that are served.
        """
        loop = asyncio.get_running_loop()
        while True:
            next_tick = loop.time() + self._tick_seconds
            try:
                await self._tick(followed())
                while (left := next_tick - loop.time()) > 0:
                    self._wake.clear()
                    await self._work()
                    await wait(self._wake, left)
            except Exception:  # the store goes on with the next tick
                _logger.exception("the %s store of scores met a bug", self.source)
                await asyncio.sleep(self._tick_seconds)

    async def close(self) -> None:
        """Write what waits, as far as that takes little time, and release the backend."""
        with contextlib.suppress(StoreFailed):
            await within(_CLOSING_SECONDS, self._work())
        await settle(_CLOSING_SECONDS)  # work that goes on would open connections again
        with contextlib.suppress(StoreFailed):
            await within(_CLOSING_SECONDS, self._backend.close())
        self._drop(len(self._queue))

    async def _tick(self, followed: Collection[bytes]) -> None:
        """Read the epochs of the models; it is the probe that opens and closes the breaker."""
        try:
            for identity in followed or (_PROBED,):
                new = self._epochs.get(identity) or secrets.token_bytes(EPOCH_BYTES)
                self._see(identity, await within(_WORK_SECONDS, self._backend.epoch(identity, new)))
        except StoreFailed as error:
            self._breaker.open(str(error))
        else:
            self._breaker.succeed()
        self._report()

    async def _work(self) -> None:
        """Renew epochs first, then write."""
        try:
            while self._to_renew and not self._breaker.is_open:
                await self._renew(next(iter(self._to_renew)))
            while self._queue and not self._breaker.is_open:
                await self._write_some()
        except StoreFailed as error:
            self._fail(str(error))
        if self._breaker.is_open:
            self._drop(len(self._queue))

    async def _renew(self, identity: bytes) -> None:
        new = secrets.token_bytes(EPOCH_BYTES)
        await within(_WORK_SECONDS, self._backend.renew(identity, new))
        self._to_renew.discard(identity)
        self._epochs[identity] = new

    async def _write_some(self) -> None:
        """Write some scores; those that cannot be written are dropped."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _WRITTEN_AT_ONCE))]
        self._writing = len(batch)
        try:
            entries = [await self._entry(item) for item in batch]
            await within(_WORK_SECONDS, self._backend.write(entries))
        except asyncio.CancelledError:  # `close` writes them
            self._queue.extendleft(
                item for item in reversed(batch) if item.identity not in self._to_renew
            )
            raise
        except StoreFailed as error:
            self._counts["dropped"] += len(batch)
            if not isinstance(error, StoreFull):
                raise
            self._refusal = str(error)
        else:
            self._counts["written"] += len(batch)
            self._refusal = ""
        finally:
            self._writing = 0
        self._report()

    async def _entry(self, item: _Waiting) -> Entry:
        epoch = item.epoch or self._epochs.get(item.identity)
        if epoch is None:
            new = secrets.token_bytes(EPOCH_BYTES)
            epoch = await within(_WORK_SECONDS, self._backend.epoch(item.identity, new))
            self._see(item.identity, epoch)
        left = item.kept.made + self._seconds - self._clock()
        return Entry(item.identity, item.key, seal(item.key, item.kept, epoch, self._secret), left)

    def _fail(self, reason: str) -> None:
        self._breaker.fail(reason)
        self._report()

    def _drop(self, number: int) -> None:
        for _ in range(number):
            self._queue.popleft()
        self._counts["dropped"] += number

    def _report(self) -> None:
        """Log once that the store is degraded, and once that it is not."""
        reason, before = self._breaker.reason or self._refusal, self._reported
        self._reported = reason
        if reason and not before:
            _logger.warning(
                "the %s store of scores (%s) is degraded, and scoring goes on without it: %s",
                self.source,
                self._backend.place,
                reason,
            )
        elif before and not reason:
            _logger.info("the %s store of scores works again", self.source)

    def status(self) -> ScoreStoreStatus:
        """Return a snapshot."""
        reason, usage = self._breaker.reason or self._refusal, self._backend.usage
        return ScoreStoreStatus(
            source=self.source,
            place=self._backend.place,
            state="degraded" if reason else "ok",
            reason=reason,
            **usage._asdict(),
            waiting=len(self._queue) + self._writing,
            opened=self._breaker.opened,
            claims=None,  # they are not those of the store alone, see `chain`
            **{name: self._counts[name] for name in STORE_RESULTS},
        )
